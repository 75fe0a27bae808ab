package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/backends/redis"
	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/stores"
)

type doctorCommand struct {
	URL  string `arg:"" optional:"" help:"The store; --store by default."`
	JSON bool   `name:"json" env:"-" help:"As JSON."`
}

// Help is what kong shows below the command's first line.
func (doctorCommand) Help() string {
	return `Writes are tried in a namespace of their own, which is removed. Exit code 0: nothing is wrong; 1: something is risky; 5: something is wrong, so that tokens can be lost, stolen or not be read.`
}

// The severities of findings.
const (
	fine    = "ok"
	warning = "warning"
	wrong   = "error"
)

// finding is what one check found, and what to do about it.
type finding struct {
	Check    string `json:"check"`
	Severity string `json:"severity"`
	Fact     string `json:"fact"`
	Advice   string `json:"advice,omitempty"`
}

// checkup collects the findings about one store.
type checkup struct {
	*session
	place
	now      time.Time
	findings []finding
}

func (d *checkup) find(check, severity, advice, fact string, args ...any) {
	for i, a := range args {
		switch a := a.(type) {
		case string:
			args[i] = printable(a)
		case error:
			args[i] = printable(a.Error())
		}
	}
	d.findings = append(d.findings, finding{check, severity, fmt.Sprintf(fact, args...), advice})
}

// severityError is the error of a doctor that found something.
type severityError struct{ wrong, warnings int }

func (e *severityError) Error() string {
	return fmt.Sprintf("%d errors and %d warnings were found", e.wrong, e.warnings)
}

func (cmd *doctorCommand) Run(ctx context.Context, s *session, c *console) error {
	flag, url := "URL", cmd.URL
	if url != "" && s.given["store"] {
		return usageError("name the store by --store or as the argument, not by both")
	}
	if url == "" {
		name, err := s.storeName()
		if err != nil {
			return err
		}
		flag, url = "--store", name
	}
	at, err := openStore(ctx, flag, url, stores.Options{Record: s.Record}, allRecords)
	if err != nil {
		return err
	}
	defer at.Close()
	d := &checkup{session: s, place: at, now: time.Now()}
	d.files()
	d.secrets(ctx)
	if d.reachable(ctx) {
		d.writes(ctx)
		d.tokens(ctx)
	}
	d.clock(ctx)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if cmd.JSON {
		err = writeJSON(c.out, map[string]any{"store": at.String(), "findings": d.findings})
	} else {
		err = d.print(c)
	}
	if err != nil {
		return err
	}
	found := &severityError{}
	for _, f := range d.findings {
		switch f.Severity {
		case wrong:
			found.wrong++
		case warning:
			found.warnings++
		}
	}
	if found.wrong+found.warnings > 0 {
		return found
	}
	return nil
}

func (d *checkup) print(c *console) error {
	for _, f := range d.findings {
		text := fmt.Sprintf("%-8s%s: %s\n", f.Severity, f.Check, f.Fact)
		if f.Advice != "" {
			text += "        → " + f.Advice + "\n"
		}
		if _, err := fmt.Fprint(c.out, text); err != nil {
			return err
		}
	}
	return nil
}

// reachable asks the store, and reports whether other checks make sense.
func (d *checkup) reachable(ctx context.Context) bool {
	pinger, ok := core.As[core.Pinger](d.Backend)
	if !ok {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	begun := time.Now()
	err := pinger.Ping(ctx)
	switch {
	case err == nil:
		d.find("reach", fine, "", "%s answers in %s", d.String(), time.Since(begun).Round(time.Millisecond/10))
	case errors.Is(err, redis.ErrEvicts):
		d.find("eviction", wrong, "Set its maxmemory-policy to noeviction, or to one of volatile-*: CONFIG SET maxmemory-policy noeviction", "%v", err)
	case errors.Is(err, core.ErrReadOnly) && d.ReadOnly:
		d.find("reach", fine, "", "the variable is read only")
	default:
		d.find("reach", wrong, "Check the address, the credentials and the network; graphtoken help stores says where credentials come from.", "%v", err)
		return false
	}
	return true
}

// writes tries every call in a namespace of its own: permissions, and conditional writes
// that really are conditional.
func (d *checkup) writes(ctx context.Context) {
	if d.ReadOnly {
		d.find("writes", warning, "Use env://NAME?file=.env, or another store, so that a refreshed token outlasts the process.", "a variable can't be saved to: it ends with its process")
		return
	}
	at, err := d.openTrial(ctx, "doctor", trialName())
	if err != nil {
		d.find("writes", wrong, "Give this user the right to write there.", "%v", err)
		return
	}
	defer func() {
		if err := errors.Join(at.RemoveAll(context.WithoutCancel(ctx)), at.Close()); err != nil {
			d.find("writes", warning, "Remove what begins with graphtoken-doctor by hand, and give this user the right to delete.", "the trial's records could not all be removed: %v", err)
		}
	}()
	t := &writing{at.Backend, d.claims().CAS == conformance.CASEnforced}
	if err := t.conditions(ctx); err != nil {
		advice := "Give this user the right to read, write and delete there."
		if errors.Is(err, errUnconditional) {
			advice = "Don't let two processes use this store: one would overwrite the other's tokens. Use a service that honours conditions; docs/choosing-a-store.md lists some."
		}
		d.find("writes", wrong, advice, "%v", err)
		return
	}
	d.find("writes", fine, "", "a record can be saved, read and deleted, and writes are conditional")
	if err := t.lease(ctx); err != nil {
		d.find("leases", wrong, "Give this user the rights that leases need; the store's README lists them.", "%v", err)
	} else if _, has := core.As[core.Leaser](at.Backend); has {
		d.find("leases", fine, "", "one process at a time gets a lease")
	}
}

// writing tries one backend.
type writing struct {
	core.TokenBackend
	enforces bool // of racing writers, exactly one succeeds
}

var errUnconditional = errors.New("writes are not conditional")

// conditions tries that a save needs the version that is stored.
func (t *writing) conditions(ctx context.Context) error {
	const key = "doctor"
	data := func(n int) []byte { return fmt.Appendf(nil, `{"AccessToken":{},"doctor":%d}`, n) }
	first, err := t.Save(ctx, key, core.Record{Data: data(1), Version: core.Absent})
	if err != nil {
		return err
	}
	if _, err := t.Save(ctx, key, core.Record{Data: data(2), Version: core.Absent}); !errors.Is(err, core.ErrConflict) {
		return unconditional(err, "a record that was there was created again")
	}
	if _, err := t.Save(ctx, key, core.Record{Data: data(3), Version: first}); err != nil {
		return err
	}
	if _, err := t.Save(ctx, key, core.Record{Data: data(4), Version: first}); !errors.Is(err, core.ErrConflict) {
		return unconditional(err, "a newer record was overwritten")
	}
	rec, err := t.Load(ctx, key)
	if err != nil {
		return err
	}
	if string(rec.Data) != string(data(3)) {
		return errReadBack
	}
	if t.enforces {
		if err := t.race(ctx, rec.Version, data); err != nil {
			return err
		}
	}
	if err := t.Delete(ctx, key); err != nil {
		return err
	}
	if _, err := t.Load(ctx, key); !errors.Is(err, core.ErrNotFound) {
		return fmt.Errorf("a record was deleted, and is still there: %w", errReadBack)
	}
	return nil
}

// race lets several writers replace the same version.
func (t *writing) race(ctx context.Context, version core.Version, data func(int) []byte) error {
	errs := make([]error, 6)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = t.Save(ctx, "doctor", core.Record{Data: data(10 + i), Version: version})
		})
	}
	wg.Wait()
	succeeded := 0
	for _, err := range errs {
		if err == nil {
			succeeded++
		} else if !errors.Is(err, core.ErrConflict) {
			return err
		}
	}
	if succeeded != 1 {
		return fmt.Errorf("%w: of %d writers at the same time, %d succeeded", errUnconditional, len(errs), succeeded)
	}
	return nil
}

func unconditional(err error, fact string) error {
	if err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", errUnconditional, fact)
}

// lease tries that a lease is one process's alone.
func (t *writing) lease(ctx context.Context) error {
	leaser, ok := core.As[core.Leaser](t.TokenBackend)
	if !ok {
		return nil
	}
	held, err := leaser.Acquire(ctx, "doctor", 10*time.Second)
	if err != nil {
		return err
	}
	if second, err := leaser.Acquire(ctx, "doctor", 10*time.Second); err == nil {
		_ = second.Release(ctx)
		return errors.New("two processes can have the same lease: each would refresh the token")
	} else if !errors.Is(err, core.ErrLeaseHeld) {
		return err
	}
	return held.Release(ctx)
}

// tokens looks at the stored records, and asks no provider.
func (d *checkup) tokens(ctx context.Context) {
	keyring, err := d.keyring(ctx)
	if err != nil {
		return // secrets has told
	}
	opts := []core.StoreOption{}
	if keyring != nil {
		opts = append(opts, core.WithCryptography(keyring))
	}
	if d.PlaintextReads {
		opts = append(opts, core.WithPlaintextReads())
	}
	store := core.NewStore(d.Backend, opts...)
	n := 0
	for key, err := range d.records(ctx) {
		if err != nil {
			d.find("records", wrong, "Give this user the right to list records, or name one by #NAME.", "they can't be listed: %v", err)
			return
		}
		cache, _, err := store.Load(ctx, key)
		switch {
		case errors.Is(err, core.ErrNotFound):
			continue
		case errors.Is(err, core.ErrLegacyToken):
			d.find("record "+printable(key), wrong, "Sign in again: graphtoken login.", "%v", err)
			continue
		case errors.Is(err, core.ErrDecrypt):
			d.find("record "+printable(key), wrong, "Name its key with --key-file or GRAPHTOKEN_KEYS; --plaintext-reads accepts a record that isn't encrypted yet.", "%v", err)
			continue
		case errors.Is(err, core.ErrCorrupt):
			d.find("record "+printable(key), wrong, "If it is encrypted, name its key with --key-file. If not, restore it, or move it away and sign in again.", "%v", err)
			continue
		case err != nil:
			d.find("record "+printable(key), wrong, "Give this user the right to read it.", "%v", err)
			continue
		}
		n++
		tokens, err := inspect(cache)
		if err == nil {
			d.ages(key, tokens)
		}
	}
	d.find("records", fine, "", "%d can be read", n)
}

// nearEnd is the age from which an unused refresh token needs attention.
const nearEnd = account.RefreshTokenLifetime * 2 / 3

// ages finds refresh tokens near their end, and users without one.
// https://learn.microsoft.com/entra/identity-platform/refresh-tokens#token-lifetime
func (d *checkup) ages(key string, tokens []inspected) {
	isRefresh := func(t inspected) bool { return t.Type == "refresh token" }
	for _, t := range tokens {
		who := fmt.Sprintf("%s in %s", printable(t.Username), printable(key))
		switch {
		case isRefresh(t) && t.CachedOn != nil && d.now.Sub(*t.CachedOn) >= account.RefreshTokenLifetime:
			d.find("refresh token", wrong, "Sign in again: graphtoken login --user "+printable(t.Username), "that of %s wasn't used for %d days, and no longer works", who, days(d.now.Sub(*t.CachedOn)))
		case isRefresh(t) && t.CachedOn != nil && d.now.Sub(*t.CachedOn) >= nearEnd:
			d.find("refresh token", warning, "Run graphtoken keepalive every day, or graphtoken refresh --user "+printable(t.Username), "that of %s wasn't used for %d days, and ends after %d", who, days(d.now.Sub(*t.CachedOn)), days(account.RefreshTokenLifetime))
		case t.Type == "access token" && t.HomeAccountID != "" && t.ExpiresOn != nil && t.ExpiresOn.Before(d.now) &&
			!slices.ContainsFunc(tokens, func(o inspected) bool { return isRefresh(o) && o.HomeAccountID == t.HomeAccountID }):
			d.find("refresh token", wrong, "Sign in again: graphtoken login --user "+printable(t.Username), "%s has none, and the access token has expired", who)
		}
	}
}

func days(d time.Duration) int { return int(d.Hours() / 24) }

// clock compares this machine's clock with the provider's.
func (d *checkup) clock(ctx context.Context) {
	authority := d.Authority
	if authority == "" {
		authority = msal.DefaultAuthority
	}
	client, err := d.httpClient()
	if err != nil {
		d.find("clock", wrong, "", "%v", err)
		return
	}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, authority, nil)
	if err != nil {
		d.find("clock", wrong, "--authority is https://host or https://host/tenant.", "%v", err)
		return
	}
	sent := time.Now()
	answer, err := client.Do(request)
	if err != nil {
		d.find("provider", warning, "Check the network and HTTPS_PROXY; without the provider no token can be refreshed.", "%v", err)
		return
	}
	answer.Body.Close()
	took := time.Since(sent)
	there, err := http.ParseTime(answer.Header.Get("Date"))
	if err != nil {
		d.find("clock", warning, "Is a proxy between this machine and the provider?", "the provider's answer has no date")
		return
	}
	// The date is in whole seconds, and of some moment while the answer was under way.
	ahead := sent.Add(took / 2).Sub(there.Add(time.Second / 2)).Round(time.Second)
	const advice = "Set this machine's clock: timedatectl set-ntp true, or what the system has for that."
	switch off := ahead.Abs(); {
	case off > 5*time.Minute:
		d.find("clock", wrong, advice, "this machine's differs by %s from the provider's: tokens are taken for expired, or for valid", ahead)
	case off > 30*time.Second:
		d.find("clock", warning, advice, "this machine's differs by %s from the provider's", ahead)
	default:
		d.find("clock", fine, "", "this machine's agrees with the provider's")
	}
}

// secrets looks at the files that flags name.
func (d *checkup) secrets(ctx context.Context) {
	if _, err := d.keyring(ctx); err != nil {
		d.find("keys", wrong, "chmod 600 the file of keys, and see graphtoken keygen.", "%v", err)
	} else if d.keyPlace.File != "" {
		d.find("keys", warning, "Make the keychain usable, and rewrap the store with its key.", "%s", d.keyPlace)
	} else if d.encrypted() {
		d.find("keys", fine, "", "they can be read")
	}
	for _, f := range []struct{ flag, path string }{{"--client-secret-file", d.ClientSecretFile}, {"--certificate", d.Certificate}, {"--federated-token-file", d.FederatedTokenFile}} {
		if f.path == "" {
			continue
		}
		info, err := os.Stat(f.path)
		switch {
		case err != nil:
			d.find(f.flag, wrong, "Name a file that this user can read.", "%v", unread(f.flag, f.path, err))
		case hasModes && info.Mode().Perm()&0o077 != 0:
			d.find(f.flag, warning, "chmod 600 the file.", "others can read or write the file, mode %04o", info.Mode().Perm())
		}
	}
}

// files looks at the files of a store, or its database.
func (d *checkup) files() {
	if d.Path == "" {
		return
	}
	if err := d.own(); err != nil {
		d.find("directory", wrong, "Make a directory for this user alone: chmod 700, and chown it.", "%v", err)
	}
	paths := []string{d.Path}
	if d.Kind == "file" && d.Key == "" {
		entries, err := os.ReadDir(d.Path)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			d.find("directory", wrong, "Give this user the right to read it.", "%v", err)
		}
		paths = nil
		for _, e := range entries {
			if !e.IsDir() {
				paths = append(paths, filepath.Join(d.Path, e.Name()))
			}
		}
	}
	mounts := mountPoints()
	if kind := mounts.kindOf(d.Path); slices.Contains(networked, kind) {
		d.find("file system", warning, "Keep the record on a local disk, or in a store made for several machines (redis, postgres, s3).", "%s is on %s, whose locks may not hold between machines", d.Path, kind)
	}
	for _, path := range paths {
		d.file(path, mounts)
	}
}

func (d *checkup) file(path string, mounts mounts) {
	link, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err != nil {
		d.find("file", wrong, "Give this user the right to look at it.", "%v", err)
		return
	}
	if link.Mode()&os.ModeSymlink != 0 {
		target, _ := filepath.EvalSymlinks(path)
		d.find("file", warning, "Name the target in the URL. A save replaces the target, and a link that a deployment exchanges would lose it.", "%s is a link to %s", path, target)
	}
	if absolute, err := filepath.Abs(path); err == nil && mounts[absolute] != "" {
		d.find("file", warning, "Mount the directory instead. A mounted file can't be replaced in one step, so a crash during a save can damage it.", "%s is a mount point", path)
	}
	info, err := os.Stat(path)
	if err != nil {
		d.find("file", wrong, "Mend the link, or remove it.", "%v", err)
		return
	}
	if !hasModes {
		return
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		d.find("file", wrong, "chmod 600 it. If others may have read it, sign in again, and revoke the old sessions.", "others can read or write %s, mode %04o", path, mode)
	}
	if uid, known := ownerOf(info); known && uid != os.Geteuid() {
		d.find("file", warning, "Run graphtoken as that user: sudo -u USER graphtoken …", "%s belongs to the user with ID %d, and this is %d", path, uid, os.Geteuid())
	}
}

// networked are file systems of other machines.
var networked = []string{"nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs", "ceph", "glusterfs", "fuse.glusterfs", "vboxsf", "virtiofs"}

// mounts are the kinds of file systems, by mount point. It is empty where the system has
// no /proc.
type mounts map[string]string

// mountPoints reads /proc/self/mountinfo: see proc_pid_mountinfo(5).
func mountPoints() mounts {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil
	}
	all := mounts{}
	for line := range strings.Lines(string(data)) {
		place, kind, _ := strings.Cut(line, " - ")
		if fields, kinds := strings.Fields(place), strings.Fields(kind); len(fields) > 4 && len(kinds) > 0 {
			all[strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace(fields[4])] = kinds[0]
		}
	}
	return all
}

// kindOf is the kind of the file system that has path.
func (m mounts) kindOf(path string) string {
	path, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	for {
		if kind := m[path]; kind != "" {
			return kind
		}
		parent := filepath.Dir(path)
		if parent == path {
			return ""
		}
		path = parent
	}
}
