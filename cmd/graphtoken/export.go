package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/core/tokencache/foreign"
	"github.com/graphtoken/graphtoken/stores"
)

// The formats of export.
const (
	formatMSAL   = "msal"
	formatLegacy = "python-o365-2.0"
)

type exportCommand struct {
	To     string `arg:"" help:"The file to write, or - for the standard output."`
	Format string `enum:"msal,python-o365-2.0" default:"msal" env:"-" help:"msal, which python-o365 from 2.1 on, every MSAL and azure-cli read; or python-o365-2.0, one user's token as python-o365 before 2.1 keeps it."`
	Force  bool   `env:"-" help:"Overwrite a file that is there, or write to a terminal."`
}

// Help is what kong shows below the command's first line.
func (exportCommand) Help() string {
	return `Writes the tokens of the record of --store for another program: all of them, or those of --user and --client-id. What it writes is not encrypted, whatever the store is: anybody who reads it can use the tokens. The file has mode 0600.

The record stays as it is. Where the provider ends a refresh token with its use, as others than Microsoft do, use one of the two from then on.`
}

func (cmd *exportCommand) Run(ctx context.Context, s *session, c *console) error {
	if cmd.Format == formatMSAL {
		for _, flag := range []string{"tenant", "authority", "scope"} {
			if s.given[flag] {
				return usageError(fmt.Sprintf("--format %s has a user's tokens of all tenants, providers and scopes: leave --%s out", formatMSAL, flag))
			}
		}
	}
	if cmd.To == "-" && isTerminal(c.out) && !cmd.Force {
		return usageError("the standard output is a terminal, which would show the tokens: name a file, or add --force")
	}
	return s.withRecord(ctx, c, func(o *opened, cache *tokencache.Cache) error {
		data, err := cmd.marshal(o, cache)
		if err != nil {
			return err
		}
		if cmd.To == "-" {
			_, err := c.out.Write(data)
			return err
		}
		return cmd.write(ctx, o, c, data)
	})
}

// marshal returns the tokens that the flags mean, in the clear.
func (cmd *exportCommand) marshal(o *opened, cache *tokencache.Cache) ([]byte, error) {
	if cache.IsEmpty() {
		return nil, nobody(cache, o.named())
	}
	if cmd.Format == formatMSAL {
		its, err := part(cache, tokencache.Query{Username: o.User, ClientID: o.ClientID, App: o.ClientCredentials})
		if err != nil {
			return nil, err
		}
		return its.Marshal()
	}
	q := o.named()
	q.App = q.App || q.Username == "" && len(cache.Accounts()) == 0
	q.Scopes = tokencache.SplitScopes(o.Scope...)
	if cache.Ambiguous(q) {
		return nil, ambiguous(cache, q)
	}
	data, err := foreign.MarshalToken(cache, q)
	if errors.Is(err, foreign.ErrNoAccessToken) {
		return nil, fmt.Errorf("%w: %w of %s", core.ErrNotFound, err, whom(q))
	}
	return data, err
}

var errThere = errors.New("the file is there already: --force overwrites it")

// write makes the file. The backend of files replaces one as a whole, and follows a link.
func (cmd *exportCommand) write(ctx context.Context, o *opened, c *console, data []byte) error {
	to, err := openStore(ctx, "TO", cmd.To, stores.Options{}, oneRecord)
	if err != nil {
		return err
	}
	defer to.Close()
	if to.Kind != "file" {
		return usageError("export writes a file or the standard output: graphtoken copy copies a record to another store")
	}
	if err := cmp.Or(to.own(), cmd.mayReplace(o, to.Path)); err != nil {
		return to.about(err)
	}
	record := core.Record{Data: data, Version: core.Absent}
	if cmd.Force {
		record.Version = core.AnyVersion
	}
	locks := filepath.Join(filepath.Dir(to.Path), ".graphtoken")
	_, unused := os.Lstat(locks)
	_, err = to.Backend.Save(ctx, to.Key, record)
	if unused != nil {
		removeLocks(locks)
	}
	if errors.Is(err, core.ErrConflict) {
		return to.about(errThere)
	}
	if err != nil {
		return to.about(err)
	}
	c.say("The tokens are in %s, not encrypted.", to.Path)
	return nil
}

// mayReplace refuses to replace the store itself, whose tokens would no longer be encrypted
// and of which a part would be lost, and a file that others can read, whose mode would stay.
func (cmd *exportCommand) mayReplace(o *opened, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return nil // missing, or the backend says why not
	}
	if store, err := os.Stat(o.Path); err == nil && os.SameFile(info, store) {
		return usageError("TO is the store itself")
	}
	if cmd.Force && info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
		return errors.New("other users may read the file: remove it, or chmod 600 it")
	}
	return nil
}

// removeLocks removes the directory of locks and leases that the file's backend made, unless
// another program has begun to use it. Locks are made again where one is missing.
func removeLocks(directory string) {
	names, _ := os.ReadDir(directory)
	for _, n := range names {
		if strings.HasPrefix(n.Name(), "lock-") {
			_ = os.Remove(filepath.Join(directory, n.Name()))
		}
	}
	_ = os.Remove(filepath.Join(directory, "leases")) // if it is empty, as the directory
	_ = os.Remove(directory)
}
