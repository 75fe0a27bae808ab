package account

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// arrival is the result of a sign-in, and what it must agree with.
type arrival struct {
	response tokencache.TokenResponse
	provider msal.Provider
	nonce    string             // of the id token; "" for a sign-in that has none
	meant    tokencache.Account // who was meant when the sign-in began: see isOf
	noStore  bool
	tenant   string // as the sign-in asked for it; "" is the application's
}

// meant returns the user who must sign in.
func (p *App) meant(into *Account, o AuthOptions) (tokencache.Account, error) {
	who := tokencache.Account{Username: p.config.Username}
	if into != nil && o.NoStore {
		return who, errors.New("AuthOptions.NoStore is for an App; of an Account, use NotStoring")
	}
	if into != nil {
		who = into.meant
		if who.HomeAccountID != "" {
			who.Username = into.User().Username // if it is known: the hint on the sign-in page
		}
	}
	if !o.BindLoginHint || o.LoginHint == "" {
		return who, nil
	}
	if who.Username != "" && !strings.EqualFold(who.Username, o.LoginHint) {
		return who, fmt.Errorf("the account belongs to %s, but LoginHint is bound to %s", core.Printable(who.Username), core.Printable(o.LoginHint))
	}
	who.Username = o.LoginHint
	return who, nil
}

// file checks the result of a sign-in, and adds it to the record of the account, or of
// the user who signed in. It returns the account, which then means that user. If the
// tokens can't be saved, it returns the account together with core.ErrRefreshedNotSaved:
// the store keeps them.
func (p *App) file(ctx context.Context, into *Account, got arrival) (*Account, error) {
	own, err := p.meant(into, AuthOptions{}) // the flow may have begun for another account
	if err == nil {
		err = got.check(p.client.ID(), got.meant, own)
	}
	if err != nil {
		return nil, err
	}
	a := into
	if a == nil {
		a = p.account(tokencache.Account{HomeAccountID: got.response.HomeAccountID})
		if got.tenant != "" {
			a.tenant = got.tenant
		}
		if got.noStore {
			a.store = overlaid(p.store)
		}
	}
	got.response.Library = p.config.Library
	cache, err := a.store.Put(ctx, a.key, got.response)
	if cache == nil {
		return nil, err
	}
	who, _ := cache.Account(tokencache.Query{HomeAccountID: got.response.HomeAccountID, Tenant: got.response.Tenant, Environment: got.response.Environment})
	a.user.Store(&who)
	if err != nil {
		err = fmt.Errorf("signed in, but the tokens are not saved: %w", err)
	}
	return a, err
}

// check compares an answer with the request (OpenID Connect Core section 3.1.3.7), and
// the user who signed in with those who were meant. The ID token came from the provider
// itself over TLS, so its signature need not be checked (item 6).
func (got arrival) check(clientID string, meant ...tokencache.Account) error {
	claims, err := readClaims(got.response.IDToken)
	if err != nil {
		return err
	}
	if claims == nil && got.nonce != "" {
		return fmt.Errorf("%w: the provider gave no ID token, which has to have the sign-in's nonce", ErrStateMismatch)
	}
	if claims != nil {
		if err := claims.check(got.provider, clientID, got.nonce); err != nil {
			return err
		}
	}
	names := claims.usernames()
	for _, who := range meant {
		if !got.isOf(who, names) {
			return fmt.Errorf("%w: %s was meant, and it is %s; nothing is stored", ErrOtherUser, core.Printable(nameOfAccount(who)), core.Printable(nameAmong(names, got.response.HomeAccountID)))
		}
	}
	return nil
}

// isOf reports whether the user who signed in, whose names are given, is the one who was
// meant: by ID, by name or, without both, any user.
func (got arrival) isOf(meant tokencache.Account, names []string) bool {
	if meant.HomeAccountID != "" {
		return strings.EqualFold(meant.HomeAccountID, got.response.HomeAccountID)
	}
	return meant.Username == "" || slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, meant.Username) })
}

func nameOfAccount(who tokencache.Account) string {
	if who.Username != "" {
		return who.Username
	}
	return who.HomeAccountID
}

func nameAmong(names []string, otherwise string) string {
	if len(names) > 0 {
		return names[0]
	}
	return otherwise
}

// claims are the claims of an ID token by which a sign-in is checked.
// https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference
type claims map[string]json.RawMessage

// readClaims reads the claims of an ID token. Without a token there are none.
func readClaims(token string) (claims, error) {
	if token == "" {
		return nil, nil
	}
	parts := strings.Split(token, ".")
	if len(parts) >= 2 {
		payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
		var c claims
		if err == nil && json.Unmarshal(payload, &c) == nil && c != nil {
			return c, nil
		}
	}
	return nil, errors.New("the ID token can't be read")
}

func (c claims) check(provider msal.Provider, clientID, nonce string) error {
	audience := c.texts("aud")
	switch {
	case !provider.IsIssuer(c.text("iss"), c.text("tid")):
		return fmt.Errorf("%w: the ID token comes from %s, but %s was asked", ErrOtherIssuer, core.Printable(c.text("iss")), core.Printable(provider.Issuer))
	case !slices.ContainsFunc(audience, func(id string) bool { return strings.EqualFold(id, clientID) }):
		return fmt.Errorf("%w: the ID token is for %s", ErrOtherIssuer, core.Printable(strings.Join(audience, ", ")))
	case nonce != "" && c.text("nonce") != nonce:
		return fmt.Errorf("%w: the ID token's nonce belongs to another sign-in", ErrStateMismatch)
	}
	return nil
}

// usernames returns the names that an ID token has for its user, from the first claim that
// has any. Later claims prove nothing: a tenant's administrator can write any address there.
// https://learn.microsoft.com/entra/identity-platform/claims-validation
func (c claims) usernames() []string {
	for _, claim := range []string{"preferred_username", "upn", "email", "emails"} { // emails is Azure AD B2C's, a list
		if names := c.texts(claim); len(names) > 0 {
			return names
		}
	}
	return nil
}

func (c claims) text(name string) string {
	var text string
	_ = json.Unmarshal(c[name], &text) // no text if the claim has another type
	return text
}

// texts returns a claim that is a text or a list of texts.
func (c claims) texts(name string) []string {
	if text := c.text(name); text != "" {
		return []string{text}
	}
	var list []string
	_ = json.Unmarshal(c[name], &list)
	return list
}
