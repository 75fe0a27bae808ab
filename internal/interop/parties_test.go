package interop

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/interop/peers/msalgo"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

const (
	host     = "https://login.microsoftonline.com/"
	record   = "record.json"
	redirect = "http://localhost:8400/callback"
	verifier = "a-verifier-of-at-least-forty-three-characters"
)

var scopes = []string{"https://graph.microsoft.com/User.Read", "https://graph.microsoft.com/Mail.ReadWrite"}

// place is one record in a directory, and the strict provider whose tokens it
// has: a refresh token is good once, and its second use ends the sign-in.
type place struct {
	idp *entra.Server
	dir string
	ca  string
}

func newPlace(t *testing.T) place {
	t.Helper()
	p := place{idp: entra.Start(t, entra.Options{Strict: true}), dir: t.TempDir(), ca: filepath.Join(t.TempDir(), "ca.pem")}
	if err := p.idp.WriteCA(p.ca); err != nil {
		t.Fatal(err)
	}
	return p
}

// code is what a user's browser comes back with.
func (p place) code(t *testing.T, tenant string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(verifier))
	back, err := p.idp.SignIn(host + tenant + "/oauth2/v2.0/authorize?" + url.Values{
		"client_id": {entra.PublicClient}, "response_type": {"code"}, "redirect_uri": {redirect}, "login_hint": {entra.Ana},
		"scope":          {strings.Join(scopes, " ") + " openid profile offline_access"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"},
	}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(back)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get("code")
}

// fewMinutes are too few for every MSAL: with less than five left, a token is
// refreshed before it is used.
const fewMinutes = 4 * time.Minute

// party is a program that uses the record.
type party interface {
	fmt.Stringer
	signIn(t *testing.T) error
	// token returns a token that has more than fewMinutes left.
	token(t *testing.T) (string, error)
	// refresh returns a token other than the one in the record.
	refresh(t *testing.T) (string, error)
	// look returns the token that a program started now finds in the record. One
	// that lives on may have another: this collection's trusts a valid token and
	// reads nothing, MSAL for Java never forgets what it read.
	look(t *testing.T) (string, error)
	// restart makes the program forget all but the record.
	restart(t *testing.T)
}

// theirs is a program that has an MSAL of some language.
type theirs struct {
	place
	*worker
	tenant string
}

func (p place) theirs(t *testing.T, l library, tenant string) theirs {
	t.Helper()
	return theirs{p, l.work(t, msalgo.Peer{
		Address: p.idp.Addr(), CA: p.ca, Record: filepath.Join(p.dir, record), Authority: host + tenant, User: entra.Ana, Scopes: scopes,
		Client: entra.PublicClient, Confidential: entra.ConfidentialClient, Secret: entra.ConfidentialSecret,
	}), tenant}
}

func (p theirs) String() string { return p.name }

func (p theirs) signIn(t *testing.T) error {
	t.Helper()
	_, err := p.ask(t, msalgo.Command{Do: "redeem", Code: p.code(t, p.tenant), Redirect: redirect, Verifier: verifier})
	return err
}

func (p theirs) token(t *testing.T) (string, error) {
	t.Helper()
	a, err := p.ask(t, msalgo.Command{Do: "silent"})
	return a.Token, err
}

func (p theirs) refresh(t *testing.T) (string, error) {
	t.Helper()
	a, err := p.ask(t, msalgo.Command{Do: "refresh"})
	return a.Token, err
}

func (p theirs) look(t *testing.T) (string, error) {
	t.Helper()
	p.restart(t)
	return p.token(t)
}

func (p theirs) restart(t *testing.T) {
	t.Helper()
	if _, err := p.ask(t, msalgo.Command{Do: "restart"}); err != nil {
		t.Fatal(err)
	}
}

// ours is a program that has this collection.
type ours struct {
	place
	client  *msal.Client
	backend func() (core.TokenBackend, error) // a new one, as a program that starts has it
	key     string
	options []core.StoreOption
	store   *core.Store
	keys    tokencache.Library // of a sign-in
}

func (p place) ours(t *testing.T, tenant string) *ours {
	t.Helper()
	client, err := msal.NewPublic(entra.PublicClient, msal.WithAuthority(host+tenant), msal.WithHTTPClient(p.idp.HTTPClient()))
	if err != nil {
		t.Fatal(err)
	}
	o := &ours{place: p, client: client, key: record, backend: func() (core.TokenBackend, error) {
		return filesystem.New(p.dir, filesystem.Options{})
	}}
	o.restart(t)
	return o
}

func (p *ours) String() string { return "this collection" }

func (p *ours) restart(t *testing.T) {
	t.Helper()
	backend, err := p.backend()
	if err != nil {
		t.Fatal(err)
	}
	// This collection, too, finds that fewMinutes are too few.
	clock := core.WithClock(func() time.Time { return time.Now().Add(fewMinutes + time.Minute) })
	p.store = core.NewStore(backend, append(p.options, clock)...)
}

func (p *ours) signIn(t *testing.T) error {
	t.Helper()
	r, err := p.client.RedeemCode(t.Context(), msal.CodeRequest{RedirectURL: redirect, Scopes: scopes}, tokencache.Secret(p.code(t, p.client.Tenant())), verifier)
	if err != nil {
		return err
	}
	r.Library = p.keys
	_, err = p.store.Put(t.Context(), p.key, r)
	return err
}

func (p *ours) source() *core.TokenSource {
	return p.store.TokenSource(p.key, tokencache.Query{Username: entra.Ana, ClientID: entra.PublicClient, Scopes: scopes}, p.client.Refresh)
}

func (p *ours) token(t *testing.T) (string, error) {
	t.Helper()
	at, err := p.source().Token(t.Context())
	return at.Secret.Reveal(), err
}

func (p *ours) refresh(t *testing.T) (string, error) {
	t.Helper()
	p.restart(t) // a store that knows an older token than the record's is content with that one
	at, err := p.source().Refresh(t.Context())
	return at.Secret.Reveal(), err
}

func (p *ours) look(t *testing.T) (string, error) {
	t.Helper()
	p.restart(t)
	return p.token(t)
}
