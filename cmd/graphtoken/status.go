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
	"github.com/graphtoken/graphtoken/core/tokencache"
)

type statusCommand struct {
	JSON bool `name:"json" env:"-" help:"As JSON."`
}

// report is what status --json prints.
type report struct {
	Store    string   `json:"store"`
	Key      string   `json:"key"`
	Keychain string   `json:"keychain,omitempty"` // where the key that encrypts the store is
	Accounts []signIn `json:"accounts"`
}

// signIn is one user, or the application itself, in a record. It contains no secret.
type signIn struct {
	Username      string     `json:"username,omitempty"`
	HomeAccountID string     `json:"home_account_id,omitempty"`
	Application   bool       `json:"application,omitempty"`
	ClientID      string     `json:"client_id,omitempty"`
	Tenant        string     `json:"tenant,omitempty"`
	Environment   string     `json:"environment,omitempty"`
	Scopes        []string   `json:"scopes"`
	ExpiresOn     *time.Time `json:"expires_on,omitempty"`
	Expired       bool       `json:"expired"`
	Refreshable   bool       `json:"refreshable"`
}

func (cmd *statusCommand) Run(ctx context.Context, s *session, c *console) error {
	return s.withRecord(ctx, c, func(o *opened, cache *tokencache.Cache) error { return cmd.show(o, cache, c) })
}

func (cmd *statusCommand) show(o *opened, cache *tokencache.Cache, c *console) (err error) {
	now, named := time.Now(), o.named()
	r := report{Store: o.String(), Key: redact(o.Key), Accounts: []signIn{}}
	if o.Keychain != "" {
		r.Keychain = o.keyPlace.String()
	}
	r.Accounts = append(r.Accounts, users(cache, named, now)...)
	r.Accounts = append(r.Accounts, applications(cache, named, now)...)
	if len(r.Accounts) == 0 && o.User != "" {
		if err := nobody(cache, named); errors.Is(err, core.ErrNotFound) {
			return err
		}
		return fmt.Errorf("%w of %s", core.ErrNotFound, whom(named))
	}
	if cmd.JSON {
		err = writeJSON(c.out, r)
	} else if len(r.Accounts) > 0 {
		err = r.print(c.out, now)
	}
	if err == nil && len(r.Accounts) == 0 {
		return fmt.Errorf("%w of %s", core.ErrNotFound, whom(named))
	}
	return err
}

// users describes the users that the flags select.
func users(c *tokencache.Cache, named tokencache.Query, now time.Time) []signIn {
	var all []signIn
	for _, a := range fitting(c, named) {
		in := describe(c, tokencache.Query{HomeAccountID: a.HomeAccountID, ClientID: named.ClientID, Environment: a.Environment, Tenant: a.Realm}, now)
		if named.ClientID != "" && in.ClientID == "" {
			continue // the user has nothing of this application
		}
		in.Username, in.HomeAccountID = a.Username, a.HomeAccountID
		in.Environment, in.Tenant = a.Environment, a.Realm
		all = append(all, in)
	}
	return all
}

// applications describes the applications with tokens of their own that the flags select.
func applications(c *tokencache.Cache, named tokencache.Query, now time.Time) []signIn {
	var all []signIn
	for _, h := range holders(c) {
		if h.HomeAccountID != "" || named.Username != "" || !fits(named.ClientID, h.ClientID) || !fits(named.Tenant, h.Realm) {
			continue
		}
		q := tokencache.Query{App: true, ClientID: h.ClientID, Environment: cmp.Or(named.Environment, h.Environment), Tenant: h.Realm}
		if token, there := c.AccessToken(q); !there || token.Environment != h.Environment {
			continue // another provider's
		}
		in := describe(c, q, now)
		in.Application, in.Refreshable = true, true // with its secret
		all = append(all, in)
	}
	return all
}

// fits compares the value of a flag, if it is set, with the actual one.
func fits(want, have string) bool { return want == "" || strings.EqualFold(want, have) }

// describe describes the token that a command would use for q: of the client of the newest
// token, the one for the scopes of the login, if the record remembers those.
func describe(c *tokencache.Cache, q tokencache.Query, now time.Time) signIn {
	newest, _ := c.AccessToken(q)
	refresh, _ := c.RefreshToken(q)
	client := cmp.Or(newest.ClientID, refresh.ClientID)
	if usual := usualScopes(c, q, client); len(usual) > 0 {
		q.ClientID, q.Scopes = client, usual
	}
	in := signIn{Scopes: append([]string{}, q.Scopes...), ClientID: client, Expired: c.Expired(q, now), Refreshable: c.LongLived(q)}
	in.Tenant, in.Environment = newest.Realm, newest.Environment
	if token, ok := c.AccessToken(q); ok {
		in.Scopes = append([]string{}, token.Scopes...)
		in.Tenant, in.Environment = token.Realm, token.Environment
		expires := token.ExpiresOn.UTC()
		in.ExpiresOn = &expires
	}
	return in
}

// usualScopes are the scopes that a command without --scope asks for, as the record
// remembers them.
func usualScopes(c *tokencache.Cache, q tokencache.Query, client string) []string {
	who := signer{client: client, host: q.Environment}
	if !q.App {
		var there bool
		if who.user, there = c.Account(q); !there {
			return nil
		}
	}
	signedIn, _ := remembered(c, who)
	return signedIn.scopes
}

func (r report) print(w io.Writer, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "USER\tTENANT\tEXPIRES\tREFRESHES\tSCOPES")
	for _, in := range r.Accounts {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", printable(in.name()), printable(in.Tenant), in.expiry(now), in.refreshes(), printable(strings.Join(in.Scopes, " ")))
	}
	if r.Keychain != "" {
		fmt.Fprintf(t, "encrypted with %s\n", printable(r.Keychain))
	}
	return t.Flush()
}

func (in signIn) expiry(now time.Time) string {
	if in.ExpiresOn == nil {
		return "no access token"
	}
	left := in.ExpiresOn.Sub(now)
	if left <= 0 {
		return "expired"
	}
	return in.ExpiresOn.Local().Format(time.DateTime) + " (in " + left.Round(time.Second).String() + ")"
}

// refreshes says whether the tokens can be renewed without a sign-in.
func (in signIn) refreshes() string {
	if in.Application {
		return "with its secret"
	}
	return yes(in.Refreshable)
}

func yes(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}
