package tokencache

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// TokenResponse is a successful answer of a token endpoint (RFC 6749 section 5.1, and
// Microsoft's additions), together with facts about the request.
type TokenResponse struct {
	AccessToken, RefreshToken, IDToken string
	ClientInfo                         string // see HomeAccountID
	Scope                              string // see SplitScopes; the requested scopes if the answer has none
	TokenType                          string // "Bearer" if empty
	FamilyID                           string // "foci"
	// ExpiresIn is in seconds from Sent, and a year at most. If it is 0, the answer has
	// no usable one. Then ExpiresOn counts, or else the exp claim of the access token, if
	// that is a JWT, or else an hour. A negative one means a token that has expired.
	ExpiresIn               int
	ExpiresOn               int64 // seconds since 1970: "expires_on", which some providers answer with
	ExtExpiresIn, RefreshIn int   // seconds from Sent

	ClientID    string
	Environment string // host of the authority; login.microsoftonline.com if empty
	Tenant      string // its tenant segment, as it was asked: the realm
	// HomeAccountID names the owner of the tokens, if ClientInfo is empty. Without both,
	// and without an ID token, the tokens are the application's own, and a refresh token
	// among them is an error.
	HomeAccountID string
	// Username is the user's name, if no ID token tells it.
	Username string
	// Extra is text that is kept with the access token, in [AccessToken.Extra]: members
	// of a provider's answer that RFC 6749 doesn't have. It must be UTF-8, and may be
	// secret. A token without it has none, whatever the token had that it replaces.
	Extra string
	// GrantType is the grant type of the request, if it is known. A sign-in (any grant
	// but a refresh) survives a concurrent sign-out; see Merge. Tokens of
	// client_credentials are the application's own: ClientInfo, IDToken, RefreshToken and
	// HomeAccountID are ignored then.
	GrantType string
	// Library tells whose keys new entries get, if another library works on the record
	// too. Existing entries keep their keys.
	Library Library
	// Sent is when the request was sent; zero means now. Lifetimes are counted from then:
	// a process that slept while the answer waited must not trust a token that has
	// expired.
	Sent time.Time
}

// errUnusable begins the errors of Put.
var errUnusable = errors.New("tokencache: unusable token response")

// Put stores the tokens of a response. Each replaces the token that it succeeds. If the
// response has no refresh token or no client info, the old one stays. On error the cache
// is unchanged.
//
// Claims of the ID token are read and not verified: the token came from the token
// endpoint, over TLS (OpenID Connect Core section 3.1.3.7).
func (c *Cache) Put(r TokenResponse) error {
	if r.GrantType == "client_credentials" {
		r.ClientInfo, r.IDToken, r.RefreshToken, r.FamilyID, r.HomeAccountID = "", "", "", "", ""
	}
	if err := r.check(); err != nil {
		return err
	}
	read, err := readClaims(r.IDToken)
	if err != nil {
		return err
	}
	claims := read.idToken()
	home, err := c.homeAccount(r, claims)
	if err != nil {
		return err
	}
	if home == "" && r.RefreshToken != "" {
		return fmt.Errorf("%w: it has a refresh token, and doesn't say whose", errUnusable)
	}
	r = r.completed(claims)

	of := owner{fold(home), cloud(r.Environment)}
	p := &putting{r: r, home: home, environment: r.Library.environment(r.Environment), g: slices.Clone(c.in().groups[of])}
	p.tokens()
	if home != "" {
		p.account(claims)
	}
	app := p.app(c.in().apps)
	if p.err != nil {
		return fmt.Errorf("%w: %w", errUnusable, p.err)
	}
	slices.SortFunc(p.g, byKey)
	c.setGroup(of, p.g)
	c.in().apps[app.identity()] = app
	return nil
}

// completed returns r with the defaults of what it doesn't have, and with its lifetime and
// its scopes as they are stored.
func (r TokenResponse) completed(claims idTokenClaims) TokenResponse {
	r.Environment = cmp.Or(r.Environment, publicCloud)
	r.Tenant = cmp.Or(r.Tenant, claims.tenantID, "common")
	r.TokenType = cmp.Or(r.TokenType, "Bearer")
	if r.Sent.IsZero() {
		r.Sent = time.Now()
	}
	r.ExpiresIn = r.lifetime()
	r.Scope = strings.Join(r.Library.scopes(splitScopes(r.Scope)), " ")
	return r
}

// check refuses a response without an access token or of an unknown client, and values that
// no document and no HTTP header could hold. Tokens and their type are printable ASCII
// (VSCHAR, RFC 6749 appendix A): a token with a line break would become a second header.
func (r TokenResponse) check() error {
	switch {
	case r.AccessToken == "":
		return fmt.Errorf("%w: it has no access token", errUnusable)
	case r.ClientID == "":
		return fmt.Errorf("%w: the client ID is not known", errUnusable)
	}
	for _, token := range []struct{ name, text string }{
		{"access token", r.AccessToken}, {"refresh token", r.RefreshToken}, {"id token", r.IDToken}, {"token type", r.TokenType},
	} {
		if strings.IndexFunc(token.text, func(c rune) bool { return c < ' ' || c > '~' }) >= 0 {
			return fmt.Errorf("%w: its %s has characters that RFC 6749 doesn't allow in one (appendix A)", errUnusable, token.name)
		}
	}
	for _, text := range []string{r.Scope, r.FamilyID, r.ClientID, r.Environment, r.Tenant, r.HomeAccountID, r.GrantType, r.Username, r.Extra} {
		if !utf8.ValidString(text) {
			return fmt.Errorf("%w: it is not UTF-8, which no document could hold", errUnusable)
		}
	}
	return nil
}

// putting is one call of Put.
type putting struct {
	r           TokenResponse
	home        string
	environment string // as new entries have it
	g           group  // as it will be
	err         error
}

// tokens adds the tokens that the response has. The application's own have no ID token.
func (p *putting) tokens() {
	p.accessToken()
	if p.r.RefreshToken != "" {
		p.refreshToken()
	}
	if p.r.IDToken != "" && p.home != "" {
		p.idToken()
	}
}

func (p *putting) accessToken() {
	r := p.r
	o := object{
		{"credential_type", credentialTypes[accessTokens]},
		{"secret", r.AccessToken},
		p.homeMember(),
		{"environment", p.environment},
		{"client_id", r.ClientID},
		{"target", r.Scope},
		{"realm", r.Tenant},
		{"token_type", r.TokenType},
		{"cached_at", r.after(0)},
		{"expires_on", r.after(r.ExpiresIn)},
		{"extended_expires_on", r.after(max(clampLifetime(r.ExtExpiresIn), r.ExpiresIn))},
	}
	if r.RefreshIn > 0 {
		o = append(o, member{"refresh_on", r.after(min(r.RefreshIn, r.ExpiresIn))})
	}
	if ahead := p.ahead(); ahead > 0 {
		o = append(o, member{fieldNames[aheadBy], strconv.FormatInt(ahead, 10)})
	}
	if r.Extra != "" {
		o = append(o, member{fieldNames[extra], r.Extra})
	}
	e := p.entry(accessTokens, p.key(accessTokens), o)
	// Tokens that can do no more than the new one, and expired tokens, need not be kept.
	p.put(e, func(old *entry) bool {
		return sameClient(old.field[clientID], r.ClientID) && strings.EqualFold(old.field[realm], r.Tenant) &&
			strings.EqualFold(cmp.Or(old.field[tokenType], "Bearer"), r.TokenType) && !old.special() &&
			(covers(e, old.scopes) || old.number(expiresOn) <= r.Sent.Unix())
	})
	// A refresh token is stored with the scopes of its access token, which may be spelled
	// as another library wrote them. python-o365 asks with those scopes the next time,
	// and stores the answer under them.
	if kept := p.g[len(p.g)-1].field[target]; p.err == nil && kept != "" {
		p.r.Scope = kept
	}
}

func (p *putting) refreshToken() {
	r := p.r
	o := object{
		{"credential_type", credentialTypes[refreshTokens]},
		{"secret", r.RefreshToken},
		p.homeMember(),
		{"environment", p.environment},
		{"client_id", r.ClientID},
		{"target", r.Scope},
		{"last_modification_time", r.after(0)},
		{fieldNames[sentAt], newStamp(r.Sent, r.RefreshToken)},
	}
	if r.FamilyID != "" {
		o = append(o, member{"family_id", r.FamilyID})
	}
	e := p.entry(refreshTokens, p.key(refreshTokens), o)
	// A client that joins a family has spent its own refresh token, which would come
	// first. The family's token stays beside a client's own, because other clients need
	// it.
	p.put(e, func(old *entry) bool {
		return r.FamilyID != "" && old.field[familyID] == "" && sameClient(old.field[clientID], r.ClientID) && !old.special()
	})
}

func (p *putting) idToken() {
	r := p.r
	e := p.entry(idTokens, p.key(idTokens), object{
		{"credential_type", credentialTypes[idTokens]},
		{"secret", r.IDToken},
		p.homeMember(),
		{"environment", p.environment},
		{"realm", r.Tenant},
		{"client_id", r.ClientID},
	})
	p.put(e, nil)
}

// account adds the response's facts about the user to those that are known already.
func (p *putting) account(claims idTokenClaims) {
	r := p.r
	known := slices.IndexFunc(p.g, func(e *entry) bool {
		return e.kind == accounts && !e.opaque() && strings.EqualFold(e.field[realm], r.Tenant)
	})
	at, raw := p.key(accounts), "{}"
	o := object{{"home_account_id", p.home}, {"environment", p.environment}, {"realm", r.Tenant}}
	if known >= 0 {
		// The identity stays as its first writer spelled it.
		at, raw, o = p.g[known].key, p.g[known].raw, nil
	}
	if name := cmp.Or(claims.username, r.Username); name != "" || known < 0 {
		o = append(o, member{"username", cmp.Or(name, p.username())})
	}
	if id := claims.localAccountID(p.home); r.IDToken != "" || known < 0 {
		o = append(o, member{"local_account_id", id})
	}
	if known < 0 {
		authority := "MSSTS"
		if strings.EqualFold(r.Tenant, "adfs") {
			authority = "ADFS"
		}
		o = append(o, member{"authority_type", authority})
	}
	if r.signIn() {
		o = append(o, member{"account_source", r.GrantType}, member{"last_modification_time", r.after(0)},
			member{fieldNames[sentAt], newStamp(r.Sent, "")})
	}
	p.put(p.patched(accounts, at, raw, o), nil)
}

// username returns the user's name in another tenant, the best guess if the response has
// none.
func (p *putting) username() string {
	for _, e := range p.g {
		if e.kind == accounts && e.field[username] != "" {
			return e.field[username]
		}
	}
	return ""
}

// signIn reports whether the request was a sign-in.
func (r TokenResponse) signIn() bool {
	switch r.GrantType {
	case "", "refresh_token", "client_credentials":
		return false
	}
	return true
}

// app returns the metadata of the application. A client has one entry in a cloud,
// whatever its host is: MSAL Node refuses to choose between two
// (multiple_matching_appMetadata).
func (p *putting) app(apps map[string]*entry) *entry {
	at, raw := p.key(appMetadata), "{}"
	o := object{{"client_id", p.r.ClientID}, {"environment", p.environment}}
	old := apps[p.patched(appMetadata, at, raw, o).identity()]
	if old != nil {
		at, raw, o = old.key, old.raw, nil
	}
	switch {
	case p.r.FamilyID != "":
		o = append(o, member{"family_id", p.r.FamilyID})
	case p.r.RefreshToken != "" && old != nil && old.field[familyID] != "": // the client has left
		o = append(o, member{"family_id", nil})
	}
	return p.patched(appMetadata, at, raw, o)
}

// put adds e, and removes the entries that have its identity or that replaces selects.
func (p *putting) put(e *entry, replaces func(old *entry) bool) {
	if p.err != nil {
		return
	}
	identity := e.identity()
	if i := slices.IndexFunc(p.g, func(old *entry) bool { return old.identity() == identity }); i >= 0 && e.kind != accounts {
		e = p.inherit(e, p.g[i])
	}
	p.g = slices.DeleteFunc(p.g, func(old *entry) bool {
		return old.kind == e.kind && (old.key == e.key && old.opaque() || old.identity() == identity || replaces != nil && !old.opaque() && replaces(old))
	})
	// If an entry of another identity has the key already, it keeps the key: MSAL Python
	// stores a token that is bound to a key under the key of a plain one.
	at := e.key
	for n := 1; slices.ContainsFunc(p.g, func(old *entry) bool { return old.kind == e.kind && old.key == at }); n++ {
		at = e.key + "-" + strconv.Itoa(n)
	}
	p.g = append(p.g, &entry{e.kind, at, e.content})
}

// inherit gives e the place of its predecessor, and those of its members that this
// package doesn't know.
func (p *putting) inherit(e, old *entry) *entry {
	unknown, err := unknownMembers(old.raw)
	if err == nil && unknown != "" {
		e, err = newEntry(e.kind, e.key, strings.TrimSuffix(e.raw, "}")+unknown+"}")
	}
	if err != nil {
		p.err = err
		return e
	}
	return e.inPlaceOf(old)
}

// keyMembers are the members of which libraries make keys, except those in the identity.
var keyMembers = []string{"home_account_id", "environment", "client_id", "realm", "target"}

// inPlaceOf puts e in the place of old: under its key, and with the members of which the
// key was made. The library that wrote old replaces the entry under that key; an entry
// under another key would stay, and the library would send a refresh token that is spent.
// MSAL Python makes the key from the members of the entry that it found. A refresh token
// without scopes gets them all the same: MSAL Go, Node and Java store none, and
// python-o365 asks for those of the refresh token.
func (e *entry) inPlaceOf(old *entry) *entry {
	if old.opaque() || e.opaque() {
		return e
	}
	mine, err1 := members(e.raw)
	theirs, err2 := members(old.raw)
	if err1 != nil || err2 != nil {
		return e
	}
	placed := &entry{e.kind, old.key, e.content}
	w := &writer{}
	w.open()
	changed := false
	for _, m := range mine {
		if slices.Contains(keyMembers, m.name) {
			i := slices.IndexFunc(theirs, func(o rawMember) bool { return o.name == m.name })
			if i < 0 || theirs[i].raw != m.raw {
				changed = true
			}
			switch {
			case i >= 0:
				m.raw = theirs[i].raw
			case e.kind != refreshTokens:
				continue
			}
		}
		w.name(m.name)
		w.raw(m.raw)
	}
	for _, m := range theirs {
		if slices.Contains(keyMembers, m.name) && !slices.ContainsFunc(mine, func(o rawMember) bool { return o.name == m.name }) {
			changed = true
			w.name(m.name)
			w.raw(m.raw)
		}
	}
	w.close()
	if changed {
		if moved, err := newEntry(e.kind, old.key, string(w.buf)); err == nil {
			return moved
		}
	}
	return placed
}

// rawMember is a member of an entry as it stands.
type rawMember struct{ name, raw string }

// members returns an entry's members, each once: of one name, the last counts.
func members(raw string) (all []rawMember, err error) {
	at := make(map[string]int)
	s := &scanner{text: raw}
	err = s.object(func(name string) error {
		s.space()
		value, err := s.value(1)
		if i, twice := at[name]; twice {
			all[i].raw = value
			return err
		}
		at[name] = len(all)
		all = append(all, rawMember{name, value})
		return err
	})
	return all, err
}

// unknownMembers are the members of an entry that Put doesn't write, each after a comma.
func unknownMembers(raw string) (string, error) {
	w := &writer{comma: true}
	s := &scanner{text: raw}
	err := s.object(func(name string) error {
		s.space()
		value, err := s.value(1)
		if _, known := fieldsByName[name]; err != nil || known || name == "credential_type" || name == "extended_expires_on" {
			return err
		}
		w.name(name)
		w.raw(value)
		return nil
	})
	return string(w.buf), err
}

// homeMember is null for the application's own tokens, as MSAL Python writes.
func (p *putting) homeMember() member {
	if p.home == "" {
		return member{"home_account_id", nil}
	}
	return member{"home_account_id", p.home}
}

func (p *putting) entry(k kind, key string, o object) *entry {
	return p.patched(k, key, "{}", o)
}

// patched makes an entry of raw with the members of o set. The others stay as they are.
func (p *putting) patched(k kind, key, raw string, o object) *entry {
	text, err := o.patch(raw)
	if err == nil {
		var e *entry
		if e, err = newEntry(k, key, text); err == nil {
			return e
		}
	}
	if p.err == nil {
		p.err = err
	}
	return blankEntry(k, key)
}

// object is members to be set, in order; values are strings, or nil for null.
type object []member

type member struct {
	name  string
	value any
}

// patch returns raw with the object's members set.
func (o object) patch(raw string) (string, error) {
	w := &writer{}
	w.open()
	s := &scanner{text: raw}
	set := make(map[string]bool, len(o))
	changed := false
	err := s.object(func(name string) error {
		s.space()
		old, err := s.value(1)
		if err != nil {
			return err
		}
		w.name(name)
		i := slices.IndexFunc(o, func(m member) bool { return m.name == name })
		if i < 0 {
			w.raw(old)
			return nil
		}
		set[name] = true
		before := len(w.buf)
		w.value(o[i].value)
		changed = changed || string(w.buf[before:]) != old
		return nil
	})
	if err != nil {
		return "", err
	}
	for _, m := range o {
		if !set[m.name] {
			w.name(m.name)
			w.value(m.value)
			changed = true
		}
	}
	w.close()
	if !changed {
		return raw, nil // to the letter: a merge must not take it for a change
	}
	return string(w.buf), nil
}

func (w *writer) value(v any) {
	if s, ok := v.(string); ok {
		w.buf = appendString(w.buf, s)
	} else {
		w.buf = append(w.buf, "null"...)
	}
	w.comma = true
}

// after is a time that the response gives in seconds from the request.
func (r TokenResponse) after(seconds int) string {
	return strconv.FormatInt(r.Sent.Unix()+int64(seconds), 10)
}
