package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// options are what a login was told, as the record remembers it, so that later commands
// need no flags. The client is in the tokens.
type options struct {
	authority string   // with the tenant; empty: Microsoft's public cloud, and any tenant
	scopes    []string // empty: the provider has chosen
}

// Options are remembered as fields of the user's account: token without --scope asks for the
// login's scopes, whatever other tokens the record has since. Libraries keep fields of an
// account that they don't know. A sign-out removes the account.
//
// An application has no account, and MSAL Python writes its tokens and its metadata anew with
// each answer. So its options are in the metadata of a client that no library knows.
const (
	scopesField    = "graphtoken_scopes" // for a user, "_" and the client ID follow
	authorityField = "graphtoken_authority"
	optionsOf      = "graphtoken:" // an application's client ID follows
)

// signer is a user of a client, or a client itself, whose options are remembered.
type signer struct {
	user   tokencache.Account // the zero value: the client itself
	client string
	host   string // the client's own provider
}

// fields returns the names of the two fields in the signer's entry.
func (w signer) fields() (scopes, authority string) {
	if w.user.HomeAccountID == "" {
		return scopesField, authorityField
	}
	return scopesField + "_" + w.client, authorityField + "_" + w.client
}

// remembered returns the options of the signer's login, and whether there are any.
func remembered(c *tokencache.Cache, w signer) (o options, there bool) {
	scopes, authority := w.fields()
	_ = w.edit(c.Clone(), func(entry map[string]json.RawMessage) {
		var text string
		if json.Unmarshal(entry[scopes], &text) == nil && text != "" {
			o.scopes = tokencache.SplitScopes(text)
		}
		if json.Unmarshal(entry[authority], &text) == nil && entry[authority] != nil {
			o.authority = text
		}
	})
	return o, len(o.scopes) > 0 || o.authority != ""
}

// remember makes these the options of the signer's login.
func remember(ctx context.Context, store *core.Store, key string, w signer, o options) error {
	scopes, authority := w.fields()
	return store.Update(ctx, key, func(c *tokencache.Cache) error {
		return w.edit(c, func(entry map[string]json.RawMessage) {
			set(entry, scopes, strings.Join(o.scopes, " "))
			set(entry, authority, o.authority)
		})
	})
}

// set makes a field of an entry a text, and removes it for an empty one.
func set(entry map[string]json.RawMessage, field, text string) {
	if text == "" {
		delete(entry, field)
		return
	}
	entry[field], _ = json.Marshal(text) // a string can be marshalled
}

// edit calls change with the fields of each of the signer's entries: a guest has an account
// for each tenant. The changes are then in c.
func (w signer) edit(c *tokencache.Cache, change func(entry map[string]json.RawMessage)) error {
	data, err := c.Marshal()
	if err != nil {
		return err
	}
	name := "Account"
	if w.user.HomeAccountID == "" {
		name = "AppMetadata"
	}
	var sections map[string]json.RawMessage
	var entries map[string]map[string]json.RawMessage
	if err := json.Unmarshal(data, &sections); err != nil {
		return err
	}
	if err := json.Unmarshal([]byte(cmp.Or(string(sections[name]), "{}")), &entries); err != nil || entries == nil {
		return errors.New("the record has no entries to remember the login's options with")
	}
	found := false
	for _, entry := range entries {
		if w.isOf(entry) {
			change(entry)
			found = true
		}
	}
	switch {
	case found:
	case name == "Account":
		return errors.New("the record has no account to remember the login's options with")
	default:
		entry := make(map[string]json.RawMessage)
		set(entry, "client_id", optionsOf+w.client)
		set(entry, "environment", w.host)
		change(entry)
		entries["appmetadata-"+strings.ToLower(w.host+"-"+optionsOf+w.client)] = entry
	}
	if sections[name], err = json.Marshal(entries); err != nil {
		return err
	}
	if data, err = json.Marshal(sections); err != nil {
		return err
	}
	changed, err := tokencache.Parse(data)
	if err == nil {
		c.Replace(changed)
	}
	return err
}

// isOf reports whether an entry is the signer's.
func (w signer) isOf(entry map[string]json.RawMessage) bool {
	text := func(field string) (value string) {
		_ = json.Unmarshal(entry[field], &value) // otherwise it is empty, and not the signer's
		return value
	}
	if w.user.HomeAccountID == "" {
		return strings.EqualFold(text("client_id"), optionsOf+w.client) && msal.SameProvider(text("environment"), w.host)
	}
	return text("home_account_id") == w.user.HomeAccountID && text("environment") == w.user.Environment
}

// authorityOf returns a configuration's authority with its tenant, as it is remembered.
func authorityOf(cfg account.Config) string {
	base := strings.TrimRight(cfg.Authority, "/")
	if _, tenant := split(base); tenant != "" || cfg.Tenant == "" {
		return base
	}
	return cmp.Or(base, "https://"+publicCloud) + "/" + url.PathEscape(cfg.Tenant)
}

// publicCloud is the host of the provider that is meant where none is named.
var publicCloud, _ = split(msal.DefaultAuthority)

// keep makes the options of a successful login the record's, and notes on this machine a
// provider that the user has named. The login is good without that.
func (o *opened) keep(ctx context.Context, c *console, w signer, cfg account.Config, scopes []string) {
	authority := authorityOf(cfg)
	if err := remember(ctx, o.store, o.Key, w, options{authority, scopes}); err != nil {
		c.log.Warn("the login's options can't be remembered", "err", err)
	}
	if err := noteProvider(ctx, authority, o.CA); err != nil {
		c.say("Later commands need --authority, because the provider can't be noted as yours: %v", err)
	}
}

// complete adds to what the flags say what the record remembers of the login. environment
// is where the record's tokens are from. The provider that a record names gets refresh
// tokens and the application's secret, so it must be one that trusted accepts.
func (s *session) complete(cfg account.Config, signedIn options, environment string) (_ account.Config, err error) {
	named, tenant := split(cfg.Authority)
	theirs, _ := split(signedIn.authority)
	switch {
	case named != "" && (tenant != "" || cfg.Tenant != "" || theirs == "" || !msal.SameProvider(named, theirs)):
		// The flags say all.
	case signedIn.authority != "":
		cfg.Authority = signedIn.authority
	case named == "" && !msal.SameProvider(environment, publicCloud):
		cfg.Authority = "https://" + environment
	}
	if named == "" && cfg.Tenant != "" {
		cfg.Authority = withoutTenant(cfg.Authority)
	}
	if cfg.Authority == "" {
		return cfg, nil
	}
	p, err := trusted(cfg.Authority)
	if err != nil && named == "" {
		return cfg, err
	}
	if s.CA == "" && p.CA != "" {
		if cfg.HTTPClient, err = clientTrusting(p.CA); err != nil {
			return cfg, err
		}
	}
	cfg.DisableInstanceDiscovery = !microsofts(cfg.Authority)
	return cfg, nil
}

// withoutTenant leaves out the tenant of an authority that consists of host and tenant. In
// other authorities, of Active Directory Federation Services and of B2C, a tenant can't be
// replaced: account.New then reports that two are named.
func withoutTenant(authority string) string {
	u, err := url.Parse(authority)
	if err != nil {
		return authority
	}
	if path := strings.Trim(u.Path, "/"); strings.Contains(path, "/") || strings.EqualFold(path, "adfs") {
		return authority
	}
	u.Path, u.RawPath = "", ""
	return u.String()
}
