package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/core/tokencache/foreign"
	"github.com/graphtoken/graphtoken/crypto/fernet"
	"github.com/graphtoken/graphtoken/stores"
)

type importCommand struct {
	From          []string `arg:"" name:"from" help:"Where the tokens are: a file, the URL of any store, or - for the standard input."`
	DryRun        bool     `env:"-" help:"Tell what would be taken in, and save nothing."`
	HomeAccountID string   `env:"-" placeholder:"ID" help:"The user's ID, OBJECT-ID.TENANT-ID, for a token that doesn't say whose it is."`
	FernetKeyFile string   `env:"-" placeholder:"FILE" help:"A file with the Fernet key of python-o365's program, if that encrypts."`
	JSON          bool     `name:"json" env:"-" help:"As JSON."`
}

// Help is what kong shows below the command's first line.
func (importCommand) Help() string {
	return `Takes tokens of other programs into the record of --store. Of two entries for one token, the newer one stays. It reads python-o365's places, before and after 2.1, every MSAL's and azure-cli's cache unless it is encrypted, and OAuth libraries' tokens. A token that doesn't say whose it is needs --client-id, --user, --tenant and --home-account-id; of a cache, --user and --client-id choose a part.`
}

// The results of taking in an owner's tokens.
const (
	didAdd    = "added"   // the owner wasn't there
	didUpdate = "updated" // some tokens are newer
	didLeave  = "kept"    // what is there is the same, or newer
)

// takenIn is what was done with one owner's tokens. It contains no secret.
type takenIn struct {
	From string       `json:"from"`
	Form foreign.Form `json:"form"`
	signIn
	ObtainedOn *time.Time `json:"obtained_on,omitempty"`
	Outcome    string     `json:"outcome"`
}

// source is a place that import reads from.
type source struct {
	name  string
	form  foreign.Form
	cache *tokencache.Cache
}

// sourceError is an error of a place that import reads from. Nothing was saved.
type sourceError struct{ err error }

func (e *sourceError) Error() string { return e.err.Error() }
func (e *sourceError) Unwrap() error { return e.err }

// advice implements advisor.
func (e *sourceError) advice() string {
	switch {
	case errors.Is(e.err, core.ErrUnsafeDirectory):
		return "Nothing was saved. If you trust the file, give it to the standard input: graphtoken import - <FILE"
	case errors.Is(e.err, foreign.ErrProtected), errors.Is(e.err, core.ErrDecrypt):
		return "Nothing was saved. --key-file, GRAPHTOKEN_KEYS and --keychain name graphtoken's keys, --fernet-key-file python-o365's; without a key, sign in with: graphtoken login"
	}
	if inStore := (*core.Error)(nil); errors.As(e.err, &inStore) && inStore.FromBackend() && !errors.Is(e.err, core.ErrNotFound) {
		return "Nothing was saved. Check the address, the network and the credentials (graphtoken help stores says where they come from); graphtoken doctor looks closer."
	}
	return "Nothing was saved. graphtoken import --help shows what can be imported."
}

// atSource returns an error of a place with the place, if the error doesn't tell it.
func atSource(place string, err error) error {
	if told := (*placeError)(nil); place == "" || errors.As(err, &told) {
		return &sourceError{err}
	}
	return &placeError{"FROM " + place, place, &sourceError{err}}
}

func (cmd *importCommand) Run(ctx context.Context, s *session, c *console) (err error) {
	if i := slices.Index(cmd.From, "-"); i >= 0 && slices.Contains(cmd.From[i+1:], "-") {
		return usageError("the standard input can be read once: name - once")
	}
	s.migrate = !cmd.DryRun
	o, err := s.open(ctx, c)
	if err != nil {
		return err
	}
	defer o.close(ctx, &err)
	namedFile{"--fernet-key-file", cmd.FernetKeyFile}.warn(c)
	sources, err := cmd.read(ctx, o, c)
	if err != nil {
		return err
	}
	var taken []takenIn
	merge := func(cache *tokencache.Cache) error {
		taken = nil // Update may call this again
		for _, from := range sources {
			merged := tokencache.Merge(nil, from.cache, cache)
			taken = append(taken, outcomes(from, cache, merged, time.Now())...)
			cache.Replace(merged)
		}
		return nil
	}
	if cmd.DryRun {
		there, _, err := o.store.Load(ctx, o.Key)
		if errors.Is(err, core.ErrNotFound) {
			there, err = tokencache.New(), nil
		}
		if err != nil {
			return err
		}
		_ = merge(there) // it has no errors
	} else if err := o.store.Update(ctx, o.Key, merge); err != nil {
		return err
	}
	return cmd.show(o, taken, c)
}

// read reads all places before anything is saved.
func (cmd *importCommand) read(ctx context.Context, o *opened, c *console) ([]source, error) {
	environment, tenant := split(o.Authority)
	of := foreign.Owner{
		ClientID: o.ClientID, HomeAccountID: cmd.HomeAccountID, Username: o.User,
		Tenant: cmp.Or(o.Tenant, tenant), Environment: environment, App: o.ClientCredentials,
	}
	told := o.given["tenant"] || o.given["authority"] || cmd.HomeAccountID != ""
	var all []source
	for _, name := range cmd.From {
		data, shown, err := cmd.load(ctx, o.session, c, name)
		if err != nil {
			return nil, atSource(shown, err)
		}
		from := source{name: shown}
		if from.cache, from.form, err = foreign.Read(data, of); err != nil {
			return nil, atSource(shown, inFlags(err))
		}
		if from.form == foreign.TokenCache {
			chosen := tokencache.Query{Username: o.User, ClientID: o.ClientID, App: o.ClientCredentials}
			if from.cache, err = part(from.cache, chosen); err != nil {
				return nil, atSource(shown, err)
			}
		} else {
			told = false
		}
		all = append(all, from)
	}
	if told {
		return nil, usageError("--tenant, --authority and --home-account-id tell about a token that doesn't say whose it is, and FROM is a token cache, which says it: leave them out")
	}
	return all, nil
}

// inFlags names the flags by which an error of an OAuth token is mended.
func inFlags(err error) error {
	var missing *foreign.MissingError
	switch {
	case errors.Is(err, foreign.ErrOtherOwner):
		return usageError(err.Error() + ", and --client-id or --user says otherwise")
	case errors.As(err, &missing) && missing.User && missing.ClientID:
		return usageError(err.Error() + ": name the application with --client-id, and the user with --user and --home-account-id; or the application itself with --client-credentials")
	case errors.As(err, &missing) && missing.User:
		return usageError(err.Error() + ": name the user with --user and --home-account-id; or the application itself with --client-credentials")
	case errors.As(err, &missing):
		return usageError(err.Error() + ": name the application with --client-id")
	}
	return err
}

// maxImport is more than a token cache of ten thousand users.
const maxImport = 64 << 20

var errTooLarge = fmt.Errorf("%w: it is larger than 64 MiB, as no token cache is", core.ErrTooLarge)

// load returns what is at a place, and how the place is shown, unless the error tells it.
func (cmd *importCommand) load(ctx context.Context, s *session, c *console, name string) (data []byte, shown string, err error) {
	if name == "-" {
		data, err = readInput(ctx, c.in)
		return data, "standard input", err
	}
	at, err := openStore(ctx, "FROM", name, stores.Options{}, oneRecord)
	if err != nil {
		return nil, "", err
	}
	defer at.Close()
	shown = at.String()
	if at.Key == "" {
		return nil, shown, usageError("it may hold many records: name one by #NAME at its end")
	}
	if err := at.own(); err != nil {
		return nil, shown, err
	}
	if at.Kind == "file" {
		shown = at.Path
		if info, err := os.Stat(at.Path); err == nil && info.Size() > maxImport {
			return nil, shown, errTooLarge
		} else if err == nil && info.Size() == 0 {
			return nil, shown, nil // foreign.Read knows why such files are
		}
	} else {
		shown += "#" + at.Key
	}
	record, err := at.Backend.Load(ctx, at.Key)
	if err != nil {
		return nil, shown, err
	}
	data, err = cmd.decrypt(ctx, s, record.Data, at.Key)
	return data, shown, err
}

// readInput reads the standard input to its end. An interrupt ends it, because a terminal
// may have no end.
func readInput(ctx context.Context, in io.Reader) ([]byte, error) {
	type input struct {
		data []byte
		err  error
	}
	all := make(chan input, 1)
	go func() {
		data, err := io.ReadAll(io.LimitReader(in, maxImport+1))
		if err == nil && len(data) > maxImport {
			err = errTooLarge
		}
		all <- input{data, err}
	}()
	select {
	case i := <-all:
		return i.data, i.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// decrypt decrypts a record for which keys are named.
func (cmd *importCommand) decrypt(ctx context.Context, s *session, data []byte, key string) ([]byte, error) {
	switch {
	case isEnvelope(data) && s.encrypted():
		keyring, err := s.keyring(ctx)
		if err != nil {
			return nil, err
		}
		return keyring.Decrypt(ctx, data, core.AssociatedData("", key))
	case strings.HasPrefix(string(data), "gAAAA") && cmd.FernetKeyFile != "":
		text, err := readNamed("--fernet-key-file", cmd.FernetKeyFile)
		if err != nil {
			return nil, err
		}
		manager, err := fernet.New(strings.Fields(string(text))...)
		if err != nil {
			return nil, usageError("--fernet-key-file: " + err.Error())
		}
		return manager.Decrypt(ctx, data, nil)
	}
	return data, nil
}

// outcomes tells for each owner of tokens in a source what a merge did.
func outcomes(from source, before, after *tokencache.Cache, now time.Time) []takenIn {
	names := make(map[string]string)
	for _, a := range from.cache.Accounts() {
		names[a.HomeAccountID] = a.Username
	}
	was, is := secrets(before), secrets(after)
	var all []takenIn
	seen := make(map[owner]bool)
	for _, h := range holders(from.cache) {
		of := h.owner()
		if seen[of] {
			continue
		}
		seen[of] = true
		q := tokencache.Query{HomeAccountID: h.HomeAccountID, ClientID: h.ClientID, Environment: h.Environment, App: h.HomeAccountID == ""}
		t := takenIn{From: from.name, Form: from.form, signIn: describe(from.cache, q, now), Outcome: didUpdate}
		t.Username, t.HomeAccountID, t.Application, t.ClientID = names[h.HomeAccountID], h.HomeAccountID, q.App, h.ClientID
		t.Environment = cmp.Or(t.Environment, h.Environment)
		if at, ok := from.cache.AccessToken(q); ok && at.CachedAt.Unix() > 1 {
			obtained := at.CachedAt.UTC()
			t.ObtainedOn = &obtained
		}
		switch {
		case len(was[of]) == 0:
			t.Outcome = didAdd
		case slices.Equal(was[of], is[of]):
			t.Outcome = didLeave
		}
		all = append(all, t)
	}
	return all
}

// owner is a user's or, without a user, an application's part of a record, in lower case.
type owner struct{ homeAccountID, clientID string }

func (h holder) owner() owner {
	return owner{strings.ToLower(h.HomeAccountID), strings.ToLower(h.ClientID)}
}

// secrets are the tokens of each owner, in order.
func secrets(c *tokencache.Cache) map[owner][]string {
	all := make(map[owner][]string)
	_ = eachEntry(c, func(_ string, raw json.RawMessage, h holder) {
		var e struct{ Secret string }
		if json.Unmarshal(raw, &e) == nil && e.Secret != "" {
			all[h.owner()] = append(all[h.owner()], e.Secret)
		}
	})
	for _, list := range all {
		slices.Sort(list)
	}
	return all
}

func (cmd *importCommand) show(o *opened, taken []takenIn, c *console) error {
	if cmd.JSON {
		return writeJSON(c.out, map[string]any{"store": o.String(), "key": redact(o.Key), "dry_run": cmd.DryRun, "tokens": taken})
	}
	now := time.Now()
	t := tabwriter.NewWriter(c.out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "USER\tCLIENT\tOBTAINED\tEXPIRES\tREFRESHES\tOUTCOME")
	count := make(map[string]int)
	for _, in := range taken {
		count[in.Outcome]++
		obtained := ""
		if in.ObtainedOn != nil {
			obtained = in.ObtainedOn.Local().Format(time.DateTime)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", printable(in.name()), printable(in.ClientID), obtained, in.expiry(now), yes(in.Refreshable), in.Outcome)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	would := ""
	if cmd.DryRun {
		would = "Nothing is saved in a dry run: "
	}
	c.say(would+"%d added, %d updated, %d kept, as what is there is the same or newer.", count[didAdd], count[didUpdate], count[didLeave])
	return nil
}
