package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/adapters/msal"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/crypto/keychain"
	"github.com/graphtoken/graphtoken/stores"
)

// session has the flags that the commands share: whose tokens, where they are, and which
// provider issues them.
type session struct {
	Store  string `group:"Store" placeholder:"URL" help:"Where the tokens are: a file's path, or a URL (see graphtoken help stores). By default a file of your own in the configuration directory."`
	Record string `group:"Store" placeholder:"NAME" help:"The record in a --store of several: the file's name in a directory."`
	User   string `group:"User" short:"u" placeholder:"NAME" help:"The user, such as ana@contoso.com; needed where several share the store."`

	ClientID           string   `group:"Application" name:"client-id" placeholder:"ID" help:"The application's ID. After the login it is known from the store."`
	ClientSecretFile   string   `group:"Application" placeholder:"FILE" help:"A file with the application's secret; or set GRAPHTOKEN_CLIENT_SECRET."`
	Certificate        string   `group:"Application" placeholder:"FILE" help:"The application's certificate and RSA key, PEM or PFX, instead of a secret; the PFX's password comes from GRAPHTOKEN_CERTIFICATE_PASSWORD."`
	FederatedTokenFile string   `group:"Application" placeholder:"FILE" help:"A file with a token of another provider that the application trusts, instead of a secret (workload identity); it is read each time."`
	ClientCredentials  bool     `group:"Application" help:"Act as the application itself, without a user."`
	Tenant             string   `group:"User" help:"The tenant's ID or domain, or common, organizations, consumers. By default that of the login, or common."`
	Authority          string   `group:"Provider" placeholder:"URL" help:"The identity provider, https://host or https://host/tenant. By default that of the login, or Microsoft's public cloud."`
	Scope              []string `group:"User" short:"s" sep:"," placeholder:"SCOPE" help:"What to ask for, such as User.Read; may be repeated. By default all that the application is registered for, and after the login what the login asked for."`
	CA                 string   `group:"Provider" name:"ca" placeholder:"FILE" help:"Certificates (PEM) to trust besides the system's, for another --authority. By default those of the login on this machine."`

	KeyFile        string `group:"Encryption" placeholder:"FILE" help:"A file with keys to encrypt the store, the one for new records first (see keygen); or set GRAPHTOKEN_KEYS."`
	SharedKeyFile  bool   `group:"Encryption" help:"Accept a --key-file that other users can read or write."`
	Keychain       string `group:"Encryption" placeholder:"NAME" help:"Encrypt the store with a key of this name in the operating system's keychain; the first use makes it."`
	KeychainFile   bool   `group:"Encryption" help:"With --keychain: where there is no keychain, keep the key in a file of your own."`
	PlaintextReads bool   `group:"Encryption" help:"With keys: accept a record that isn't encrypted yet."`

	Profile string `group:"General" placeholder:"NAME" help:"The profile to take the other shared flags from, if neither the command line nor the environment has them (see graphtoken config). By default the one with the name default."`

	// These come from variables and have no flag, because a secret must not be an
	// argument.
	clientSecret, keys string

	at       *place          // the store, once it is open
	keyPlace keychain.Place  // where the key is, by --keychain
	migrate  bool            // a table that is missing is made
	given    map[string]bool // the flags on the command line, and not from the environment
}

// AfterApply is called by kong after it has read the flags.
func (s *session) AfterApply() error {
	s.clientSecret, s.keys = os.Getenv("GRAPHTOKEN_CLIENT_SECRET"), os.Getenv("GRAPHTOKEN_KEYS")
	return nil
}

// opened is a session with its store open.
type opened struct {
	*session
	place
	store  *core.Store
	config account.Config
	holder string // the user's name, as the record has it; see account

	hasCredential bool
	lacking       atomic.Pointer[usageError] // the application's secret was needed, and there is none
	log           *slog.Logger

	// keepDefault remembers the scopes that a command without --scope asks for, if this
	// one has it: a record of an application may begin with the token for others.
	keepDefault func(context.Context)
}

// open opens the store, and the record that the flags name. It reads only the files that
// flags name, and looks at the store's directory.
func (s *session) open(ctx context.Context, c *console) (*opened, error) {
	return s.openAs(ctx, c, oneRecord)
}

// openAll is open for a command that works on all records of a store, or on the one that
// the flags name. Then o.Key is empty, or that record.
func (s *session) openAll(ctx context.Context, c *console) (*opened, error) {
	return s.openAs(ctx, c, allRecords)
}

// extent says whether a store is opened for one record or for all of them.
type extent bool

const (
	oneRecord  extent = false
	allRecords extent = true
)

func (s *session) openAs(ctx context.Context, c *console, of extent) (*opened, error) {
	if s.User != "" && s.ClientCredentials {
		return nil, usageError("--user names a user, and --client-credentials means the application itself: leave one of them out")
	}
	if u, err := url.Parse(s.Authority); s.Authority != "" && (err != nil || u.Scheme != "https" || u.Host == "") {
		return nil, usageError(fmt.Sprintf("--authority is of the form https://host/tenant, and not %q", s.Authority))
	}
	if strings.ContainsFunc(s.Tenant, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("-._", r)
	}) {
		return nil, usageError(fmt.Sprintf("--tenant is a tenant's ID or domain, or common, organizations or consumers, and not %q", s.Tenant))
	}
	name, err := s.storeName()
	if err != nil {
		return nil, err
	}
	at, err := openStore(ctx, "--store", name, stores.Options{Record: s.Record, Migrate: s.migrate}, of)
	if err != nil {
		return nil, err
	}
	s.at = &at
	if of == oneRecord {
		err = at.wantRecord()
	}
	if err := cmp.Or(err, at.own()); err != nil {
		_ = at.Close()
		return nil, at.about(err)
	}
	opts, err := s.encryption(ctx)
	if err != nil {
		return nil, err
	}
	opts = append(opts, core.WithLogger(c.log))
	tell := func(key string) {
		c.say("Waiting: another process is refreshing %s.", at.of(key).name())
	}
	o := &opened{session: s, store: core.NewStore(telling{at.Backend, tell}, opts...), place: at, log: c.log, keepDefault: func(context.Context) {}}
	o.config = account.Config{
		ClientID: s.ClientID, Authority: s.Authority, Tenant: s.Tenant, Scopes: tokencache.SplitScopes(s.Scope...),
		Username: s.User, App: s.ClientCredentials, DisableInstanceDiscovery: !microsofts(s.Authority),
	}
	if o.config.HTTPClient, err = s.httpClient(); err != nil {
		return nil, err
	}
	if o.config.Credential, o.hasCredential, err = s.credential(); err != nil {
		return nil, err
	}
	for _, f := range s.secretFiles() {
		f.warn(c)
	}
	return o, nil
}

func (s *session) storeName() (string, error) {
	if s.Store != "" {
		return s.Store, nil
	}
	return defaultStore()
}

// place opens the store without encryption.
func (s *session) place(ctx context.Context) (place, error) {
	name, err := s.storeName()
	if err != nil {
		return place{}, err
	}
	at, err := openStore(ctx, "--store", name, stores.Options{Record: s.Record}, oneRecord)
	if err != nil {
		return place{}, err
	}
	s.at = &at
	return at, at.about(at.own())
}

// closeTimeout limits the work after the answer or an interrupt: a refresh, which takes
// at most core.DefaultRefreshTimeout, and its save, which may take as long again.
const closeTimeout = 2*core.DefaultRefreshTimeout + 15*time.Second

// close waits for refreshes and saves, whether or not the command was interrupted, and
// tries once more to save what could not be saved. It returns the command's result, with
// the store that an error is about; err is the result so far.
func (o *opened) close(ctx context.Context, err *error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	flushed := o.store.Flush(ctx)
	_ = o.Close() // everything is saved, or is reported as unsaved
	switch {
	case !errors.Is(*err, core.ErrRefreshedNotSaved):
		*err = errors.Join(*err, flushed)
	case flushed == nil:
		*err = nil
	}
	*err = o.about(*err)
}

// withAccount opens the store, runs do for the account that the flags mean, and closes the
// store.
func (s *session) withAccount(ctx context.Context, c *console, do func(*opened, *account.Account) error) (err error) {
	o, err := s.open(ctx, c)
	if err != nil {
		return err
	}
	defer o.close(ctx, &err)
	a, err := o.account(ctx)
	if err != nil {
		return err
	}
	return do(o, a)
}

// withRecord opens the store, runs do with the record that the flags name, and closes the
// store.
func (s *session) withRecord(ctx context.Context, c *console, do func(*opened, *tokencache.Cache) error) (err error) {
	o, err := s.open(ctx, c)
	if err != nil {
		return err
	}
	defer o.close(ctx, &err)
	cache, _, err := o.store.Load(ctx, o.Key)
	if err != nil {
		return err
	}
	return do(o, cache)
}

// account returns the account that the flags mean. The record completes them: it names its
// client, and the provider, tenant and scopes of the login. If another program signed the
// user in, the scopes are those of the newest token.
func (o *opened) account(ctx context.Context) (*account.Account, error) {
	c, err := o.readable(ctx)
	if err != nil {
		return nil, err
	}
	cfg, q := o.config, o.named()
	q.Environment = environmentIn(c, q)
	// A record without users belongs to the application itself.
	app := q
	app.App, app.Username = true, ""
	_, itsOwn := c.AccessToken(app)
	if cfg.App = cfg.App || cfg.Username == "" && len(c.Accounts()) == 0 && (itsOwn || o.hasCredential); cfg.App {
		q = app
	}
	if c.Ambiguous(q) {
		return nil, ambiguous(c, q)
	}
	token, known := c.AccessToken(q)
	if !known { // nothing of this tenant yet: take the scopes of the user's other tokens
		others := q
		others.Tenant = ""
		token, _ = c.AccessToken(others)
	}
	refresh, _ := c.RefreshToken(q)
	cfg.ClientID = cmp.Or(cfg.ClientID, token.ClientID, refresh.ClientID)
	if cfg.ClientID == "" {
		return nil, nobody(c, q)
	}
	user, _ := c.Account(q)
	who := signer{user, cfg.ClientID, q.Environment}
	signedIn, _ := remembered(c, who)
	if cfg, err = o.complete(cfg, signedIn, q.Environment); err != nil {
		return nil, err
	}
	if _, tenant := split(cfg.Authority); cfg.App && cmp.Or(cfg.Tenant, tenant) == "" {
		cfg.Tenant = token.Realm
	}
	o.chooseScopes(ctx, &cfg, who, signedIn, token)
	if cfg.App && !o.hasCredential {
		// A stored token is good without it. A refresh isn't.
		lacking := usageError("a new token of the application " + cfg.ClientID + " is needed, and " + noSecret)
		cfg.Credential = account.Assertion(func(context.Context) (string, error) {
			o.lacking.Store(&lacking)
			return "", lacking
		})
	}
	o.config, o.holder = cfg, cmp.Or(user.Username, o.User)
	return o.accountOf(cfg)
}

// chooseScopes completes the scopes: those of the flags, of the login, or of the newest
// token. A token for other scopes would be the newest, and so change the default. That is
// prevented by remembering the default: o.keepDefault does it.
func (o *opened) chooseScopes(ctx context.Context, cfg *account.Config, who signer, signedIn options, newest tokencache.AccessToken) {
	usual := signedIn.scopes
	if len(usual) == 0 {
		usual = msal.Scopes(newest.Scopes...)
	}
	if len(usual) == 0 && cfg.App {
		usual = []string{account.DefaultScope}
	}
	named := len(cfg.Scopes) > 0
	if named && len(signedIn.scopes) == 0 && len(usual) > 0 && !o.ReadOnly {
		o.keepDefault = func(ctx context.Context) {
			o.keepDefault = func(context.Context) {}
			if err := remember(ctx, o.store, o.Key, who, options{signedIn.authority, usual}); err != nil {
				o.log.Warn("the default scopes can't be remembered", "err", err)
			}
		}
	}
	if !named {
		cfg.Scopes = usual
	} else if who.user.HomeAccountID != "" {
		o.keepDefault(ctx)
	}
}

func (o *opened) newAccount(cfg account.Config) (*account.Account, error) {
	if cfg.ClientID == "" {
		return nil, usageError("name the application with --client-id")
	}
	if cfg.App && !o.hasCredential {
		return nil, usageError(noSecret)
	}
	return o.accountOf(cfg)
}

func (o *opened) accountOf(cfg account.Config) (*account.Account, error) {
	a, err := account.New(o.store, o.Key, cfg)
	if err != nil {
		return nil, usageError(err.Error())
	}
	return a, nil
}

func (s *session) httpClient() (*http.Client, error) { return clientTrusting(s.CA) }

// clientTrusting returns a client that trusts the certificates in a file, too.
func clientTrusting(ca string) (*http.Client, error) {
	if ca == "" {
		return http.DefaultClient, nil
	}
	pem, err := readNamed("--ca", ca)
	if err != nil {
		return nil, err
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool() // the system has none, so only these count
	}
	if !roots.AppendCertsFromPEM(pem) {
		return nil, usageError("--ca " + ca + " has no certificate in it")
	}
	return &http.Client{Transport: &http.Transport{
		Proxy:             http.ProxyFromEnvironment,
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}}, nil
}

// microsofts reports whether an authority is Microsoft's, which can be asked about
// itself. A user who names another one is responsible for it.
func microsofts(authority string) bool {
	u, err := url.Parse(authority)
	if authority == "" || err != nil {
		return true
	}
	for _, domain := range []string{
		"microsoftonline.com", "microsoft.com", "windows.net", "microsoftonline.us", "microsoftonline.cn",
		"usgovcloudapi.net", "chinacloudapi.cn", "sovcloud-identity.fr", "sovcloud-identity.de", "sovcloud-identity.sg",
	} {
		if strings.HasSuffix(strings.ToLower(u.Hostname()), "."+domain) {
			return true
		}
	}
	return false
}
