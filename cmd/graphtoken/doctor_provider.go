package main

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// asked is a provider that the doctor asks, or why the provider is asked nothing.
type asked struct {
	authority string
	client    *http.Client // nil: that of the flags
	refusal   error
}

// noteProviders notes the providers of a record's users, and of applications' own tokens.
func (d *checkup) noteProviders(c *tokencache.Cache) {
	for _, h := range holders(c) {
		user, _ := c.Account(tokencache.Query{HomeAccountID: h.HomeAccountID, Environment: h.Environment})
		if h.HomeAccountID == "" {
			user = tokencache.Account{}
		}
		signedIn, _ := remembered(c, signer{user, h.ClientID, h.Environment})
		d.addProvider(signedIn, h.Environment)
	}
}

// addProvider notes the provider that other commands would ask, each host once.
func (d *checkup) addProvider(signedIn options, environment string) {
	cfg, err := d.complete(account.Config{Authority: d.Authority}, signedIn, environment)
	p := asked{cmp.Or(cfg.Authority, msal.DefaultAuthority), cfg.HTTPClient, err}
	if !slices.ContainsFunc(d.providers, func(o asked) bool { return msal.SameProvider(o.host(), p.host()) }) {
		d.providers = append(d.providers, p)
	}
}

func (p asked) host() string {
	host, _ := split(p.authority)
	return host
}

// providerTimeout limits the wait for a provider that doesn't answer.
const providerTimeout = 10 * time.Second

// provider asks for the time, and so finds out whether the provider can be reached: the one
// that --authority names, or those of the records' users. Where nothing is stored, that is
// Microsoft's. Of a record that can't be read, the provider isn't known.
func (d *checkup) provider(ctx context.Context) (all []finding) {
	if d.Authority != "" || len(d.providers) == 0 && d.allRead {
		d.providers = nil
		d.addProvider(options{}, publicCloud)
	}
	client, err := d.httpClient()
	if err != nil {
		return []finding{bad("Name a file of certificates with --ca, or leave it out.", "%v", err)}
	}
	for _, p := range d.providers {
		p.client = cmp.Or(p.client, client)
		all = append(all, p.ask(ctx))
	}
	return all
}

func (p asked) ask(ctx context.Context) finding {
	if p.refusal != nil {
		return risky("If it may have the tokens, sign in there once with --authority; until then no token of its users is refreshed here.", "%v", p.refusal)
	}
	ctx, cancel := context.WithTimeout(ctx, providerTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.authority, nil)
	if err != nil {
		return bad("--authority is https://host or https://host/tenant.", "%v", err)
	}
	sent := time.Now()
	answer, err := p.client.Do(request)
	if err != nil {
		return risky("Check the network and HTTPS_PROXY; without the provider no token can be refreshed.", "%s: %v", p.host(), err)
	}
	answer.Body.Close()
	received := time.Now()
	there, err := http.ParseTime(answer.Header.Get("Date"))
	if err != nil {
		return risky("Is a proxy between this machine and the provider?", "the answer of %s has no date", p.host())
	}
	there = there.Add(time.Second / 2) // it is in whole seconds
	return compareClocks("that of "+p.host(), "tokens are taken for expired, or for valid", sent, received, there).of("clock")
}
