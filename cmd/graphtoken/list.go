package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/crypto"
)

type listCommand struct {
	JSON  bool `name:"json" env:"-" help:"As JSON."`
	Names bool `env:"-" help:"The records' names alone, one a line, without reading the records."`
}

// listing is what list --json prints.
type listing struct {
	Store   string   `json:"store"`
	Records []record `json:"records"`
}

// record is one record of a store. It contains no secret.
type record struct {
	Name  string `json:"name"`
	State string `json:"state,omitempty"` // see the states

	Error    string   `json:"error,omitempty"`
	Accounts []signIn `json:"accounts,omitempty"`
}

// The states of a record.
const (
	stateGood     = "good"
	stateLocked   = "encrypted with another key"
	statePlain    = "not encrypted"
	stateSealed   = "can't be decrypted" // altered, or moved here from another record; or encrypted by Fernet with another key
	stateBroken   = "broken"
	stateLegacy   = "of python-o365 before 2.1"
	stateUnproven = "can't be read now"
)

func (cmd *listCommand) Run(ctx context.Context, s *session, c *console) (err error) {
	o, err := s.openAll(ctx, c)
	if err != nil {
		return err
	}
	defer o.close(ctx, &err)
	all := listing{Store: o.String(), Records: []record{}}
	for key, err := range o.records(ctx) {
		if err != nil {
			return err
		}
		r := record{Name: redact(key)}
		if !cmd.Names && !o.read(ctx, key, &r) {
			continue // removed meanwhile
		}
		all.Records = append(all.Records, r)
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch {
	case cmd.JSON:
		err = writeJSON(c.out, all)
	case cmd.Names:
		for _, r := range all.Records {
			if _, err = fmt.Fprintln(c.out, printable(r.Name)); err != nil {
				break
			}
		}
	case len(all.Records) > 0:
		err = all.print(c.out, time.Now())
	}
	if err == nil && len(all.Records) == 0 {
		return core.ErrNotFound
	}
	return err
}

// read adds to r what the record tells, and reports whether there is one.
func (o *opened) read(ctx context.Context, key string, r *record) bool {
	cache, _, err := o.store.Load(ctx, key)
	switch {
	case errors.Is(err, core.ErrNotFound):
		return false
	case err == nil:
		r.State = stateGood
		r.Accounts = append(users(cache, o.named(), time.Now()), applications(cache, o.named(), time.Now())...)
	case errors.Is(err, core.ErrLegacyToken):
		r.State = stateLegacy
	case errors.Is(err, crypto.ErrUnknownKey), errors.Is(err, core.ErrCorrupt) && o.stored(ctx, key, isEnvelope):
		r.State = stateLocked
	case errors.Is(err, core.ErrDecrypt) && o.stored(ctx, key, isPlain):
		r.State = statePlain
	case errors.Is(err, core.ErrDecrypt):
		r.State = stateSealed
	case errors.Is(err, core.ErrCorrupt):
		r.State = stateBroken
	default:
		r.State = stateUnproven
	}
	if err != nil {
		r.Error = explain(err)
	}
	return true
}

// stored reports whether the stored bytes are of this form.
func (o *opened) stored(ctx context.Context, key string, form func(data []byte) bool) bool {
	rec, err := o.Backend.Load(ctx, key)
	return err == nil && form(rec.Data)
}

// isEnvelope reports whether stored bytes are encrypted: docs/envelope.md has the form.
func isEnvelope(data []byte) bool {
	return strings.HasPrefix(string(data), "graphtoken:")
}

// isPlain reports whether stored bytes begin as a token cache.
func isPlain(data []byte) bool {
	return strings.HasPrefix(strings.TrimSpace(string(data)), "{")
}

func (l listing) print(w io.Writer, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "RECORD\tUSER\tEXPIRES\tREFRESHES")
	for _, r := range l.Records {
		name := printable(r.Name)
		if len(r.Accounts) == 0 {
			state := r.State
			switch state {
			case stateGood:
				state = "nobody is signed in"
			case statePlain:
				state += "; --plaintext-reads accepts that"
			}
			fmt.Fprintf(t, "%s\t(%s)\t\t\n", name, state)
		}
		for _, in := range r.Accounts {
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\n", name, printable(in.name()), in.expiry(now), yes(in.Refreshable))
			name = ""
		}
	}
	return t.Flush()
}

// name is whom a sign-in belongs to.
func (in signIn) name() string {
	if in.Application {
		return "application " + in.ClientID
	}
	return cmp.Or(in.Username, in.HomeAccountID)
}
