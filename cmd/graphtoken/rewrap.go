package main

import (
	"context"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/crypto"
)

type rewrapCommand struct {
	DryRun bool `env:"-" help:"Tell what would be done, and save nothing."`
	JSON   bool `name:"json" env:"-" help:"As JSON: how many records had which result."`
}

// Help is what kong shows below the command's first line.
func (rewrapCommand) Help() string {
	return `To replace a key: put the new one after the old one in every program's file of keys, then before it; then run rewrap; then take the old key out. With --plaintext-reads, plain records are encrypted. An interrupted rewrap can be called again.`
}

func (cmd *rewrapCommand) Run(ctx context.Context, s *session, c *console) (err error) {
	keyring, err := s.keyring(ctx)
	if err != nil {
		return err
	}
	if keyring == nil {
		return usageError("rewrap needs the keys, the new one first: --key-file or GRAPHTOKEN_KEYS")
	}
	o, err := s.openAll(ctx, c)
	if err != nil {
		return err
	}
	defer o.close(ctx, &err)
	if o.ReadOnly {
		return o.writable(ctx)
	}
	options := crypto.RewrapOptions{Plaintext: s.PlaintextReads, DryRun: cmd.DryRun}
	if o.Key != "" {
		options.Keys = []string{o.Key}
	}
	var shown *progress
	options.Progress = func(p crypto.RewrapProgress) {
		if shown == nil {
			shown = newProgress(c, p.Total, cmd.JSON)
		}
		r := copied{Record: redact(p.Key), Outcome: p.Outcome.String()}
		if p.Err != nil {
			r.Why = explain(p.Err)
		}
		shown.done(r)
	}
	report, err := crypto.Rewrap(ctx, o.Backend, keyring, options)
	if shown != nil {
		shown.end()
	}
	if cmd.JSON {
		if failed := writeJSON(c.out, map[string]int{"rewrapped": report.Rewrapped, "current": report.Current, "gone": report.Gone, "failed": report.Failed, "left": report.Left}); failed != nil {
			return failed
		}
	}
	c.say("%d rewrapped, %d already current, %d gone, %d failed, %d left.", report.Rewrapped, report.Current, report.Gone, report.Failed, report.Left)
	if err == nil && report.Rewrapped+report.Current == 0 {
		return core.ErrNotFound
	}
	return err
}
