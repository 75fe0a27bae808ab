package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/core"
)

// pending is a sign-in between login start and login finish, as its file has it. The flow
// in it is a secret. The other fields are what login start was told, so that login finish
// needs no flags for them.
type pending struct {
	Store     string          `json:"store"` // without a password
	Record    string          `json:"record"`
	ClientID  string          `json:"client_id"`
	Authority string          `json:"authority,omitempty"`
	Tenant    string          `json:"tenant,omitempty"`
	Scopes    []string        `json:"scopes,omitempty"`
	User      string          `json:"user,omitempty"`
	CA        string          `json:"ca,omitempty"`
	Expires   time.Time       `json:"expires"`
	Flow      json.RawMessage `json:"flow,omitempty"` // absent after login finish
}

// errNotBegun says that login finish has no sign-in to finish.
var errNotBegun = errors.New("no sign-in is under way")

// flowFile is the file of the sign-in into a record: the one that --flow names, or one for
// each record in the user's configuration directory. It is never found by the state in an
// address: that would let a stranger's address choose the sign-in (docs/security.md).
func flowFile(named string, o *opened) (string, error) {
	if named != "" {
		return named, nil
	}
	dir, err := configDirectory()
	if err != nil {
		return "", usageError(err.Error() + "; name a file for the sign-in with --flow")
	}
	sum := sha256.Sum256([]byte(o.storeOf() + "\x00" + o.Key))
	return filepath.Join(dir, "login", hex.EncodeToString(sum[:8])+".json"), nil
}

// aboutFlow is err of the file of a sign-in. A file that --flow names is a mistake in the
// command line.
func aboutFlow(named string, err error) error {
	if named == "" {
		return err
	}
	return &flagError{"--flow", fmt.Errorf("--flow: %w", err)}
}

// usedFile is the file that says that the sign-in was finished.
func usedFile(path string) string { return path + ".used" }

// begin stores a sign-in.
func (p pending) begin(ctx context.Context, path string) error {
	if err := os.Remove(usedFile(path)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return p.save(ctx, path)
}

func (p pending) save(ctx context.Context, path string) error {
	data, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return savePrivate(ctx, path, append(data, '\n'))
}

// readPending reads the sign-in in a file.
func readPending(path string) (pending, account.Flow, error) {
	data, err := readPrivate(path, true)
	if errors.Is(err, fs.ErrNotExist) {
		if _, used := os.Stat(usedFile(path)); used == nil {
			return pending{}, account.Flow{}, account.ErrFlowUsed
		}
		return pending{}, account.Flow{}, errNotBegun
	}
	if err != nil {
		return pending{}, account.Flow{}, fmt.Errorf("the file of the sign-in: %w", err)
	}
	var p pending
	if json.Unmarshal(data, &p) != nil || len(p.Flow) == 0 { // the cause would quote the secret
		return p, account.Flow{}, fmt.Errorf("%s isn't a file that login start has made", path)
	}
	flow, err := account.ParseFlow(p.Flow)
	if err != nil {
		return p, flow, fmt.Errorf("%s isn't a file that login start has made", path)
	}
	return p, flow, nil
}

// isOf compares the record with the one that login start was told.
func (p pending) isOf(o *opened) error {
	if p.Store == o.storeOf() && p.Record == o.Key {
		return nil
	}
	return usageError(fmt.Sprintf("this sign-in was begun for the record %s in %s, and the flags name %s in %s: name the same ones", p.Record, p.Store, o.Key, o.storeOf()))
}

// storeOf is the store in a form that is the same in every working directory, without a
// password.
func (o *opened) storeOf() string {
	if path, err := absolute(o.Path); err == nil && path != "" {
		return o.Kind + ":" + path
	}
	return o.String()
}

// claim takes the sign-in's secret out of its file, so that no other process finishes the
// same sign-in. The file that is left tells a later login finish that this one was finished.
func (p pending) claim(ctx context.Context, path string) error {
	err := os.Rename(path, usedFile(path))
	if errors.Is(err, fs.ErrNotExist) {
		return account.ErrFlowUsed
	}
	if err != nil {
		return fmt.Errorf("the file of the sign-in: %w", err)
	}
	p.Flow = nil
	return p.save(ctx, usedFile(path))
}

// config completes the account's configuration with what login start was told.
func (p pending) config(cfg account.Config) account.Config {
	cfg.ClientID, cfg.Authority, cfg.Tenant, cfg.Scopes = p.ClientID, p.Authority, p.Tenant, p.Scopes
	cfg.Username = cmp.Or(cfg.Username, p.User)
	cfg.DisableInstanceDiscovery = !microsofts(p.Authority)
	return cfg
}

// loginEnds tells how a sign-in into a record ended.
func (o *opened) loginEnds(ctx context.Context, c *console, a *account.Account, cfg account.Config, err error) error {
	if err == nil {
		// Without --scope, the provider has chosen, and the token tells.
		o.keep(ctx, c, signer{user: a.User(), client: cfg.ClientID}, cfg, cfg.Scopes)
	}
	if err == nil || errors.Is(err, core.ErrRefreshedNotSaved) { // close tries again to save
		c.say("Signed in as %s.", cmp.Or(a.User().Username, a.User().HomeAccountID))
	}
	return err
}
