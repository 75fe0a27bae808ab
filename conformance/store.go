package conformance

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"

	"sync/atomic"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// The view of applications: a core.Store on the backend, and token caches instead of
// bytes.
func store() []testCase {
	return []testCase{
		{"plain", must("A record saved without encryption is MSAL's JSON, unchanged in the store, so that other programs can read it."), 0,
			func(c *trial) {
				a, b := c.pair()
				c.storeSave(core.NewStore(a), key, c.tokens(1))
				rec := c.load(b, key)
				var document struct {
					AccessToken map[string]struct{ Secret string }
				}
				if err := json.Unmarshal(rec.Data, &document); err != nil || len(document.AccessToken) != 1 {
					c.Errorf("the record is %s, %v; want a JSON object with one AccessToken", brief(rec.Data), err)
				}
				if c.raw != nil && !bytes.Contains(c.raw(key), rec.Data) {
					c.Errorf("Raw = %s, want the record's data as they are", brief(c.raw(key)))
				}
				c.wantToken(core.NewStore(b), key, 1)
			}},
		{"encrypted", must("A record saved with encryption is read with the key through another handle, and can't be read in the store."), 0,
			func(c *trial) {
				a, b := c.pair()
				sealed := core.WithCryptography(c.newSeal())
				c.storeSave(core.NewStore(a, sealed), key, c.tokens(1))
				c.wantToken(core.NewStore(b, sealed), key, 1)
				for _, data := range [][]byte{c.load(b, key).Data, c.rawOr(key, nil)} {
					if printed(string(data), false) != "" {
						c.Errorf("the secret is stored in the store")
					}
				}
				_, _, err := core.NewStore(b, core.WithCryptography(c.newSeal())).Load(c.ctx, key)
				c.wantErr(err, core.ErrDecrypt, "Load with another encryption key")
			}},
		{"swapped", must("An encrypted record copied to another key is refused there with ErrDecrypt."), 0,
			func(c *trial) {
				a, b := c.pair()
				sealed := core.WithCryptography(c.newSeal())
				c.storeSave(core.NewStore(a, sealed), "ana", c.tokens(1))
				c.storeSave(core.NewStore(a, sealed), "ben", c.tokens(2))
				c.save(a, "ben", c.load(a, "ana").Data)
				_, _, err := core.NewStore(b, sealed).Load(c.ctx, "ben")
				c.wantErr(err, core.ErrDecrypt, "Load of another user's record")
				c.wantToken(core.NewStore(b, sealed), "ana", 1)
			}},
		{"plain-refused", must("A plain record is refused with ErrDecrypt where encryption is expected."), 0,
			func(c *trial) {
				a, b := c.pair()
				c.storeSave(core.NewStore(a), key, c.tokens(1))
				_, _, err := core.NewStore(b, core.WithCryptography(c.newSeal())).Load(c.ctx, key)
				c.wantErr(err, core.ErrDecrypt, "Load of a plain record")
			}},
		{"unknown-fields", must("Fields that other programs wrote survive an Update."), 0,
			func(c *trial) {
				a, b := c.pair()
				c.save(a, key, []byte(`{"AccessToken":{},"SomebodysSection":{"x":[1,{"y":null}]},"RefreshToken":{}}`))
				err := core.NewStore(a).Update(c.ctx, key, func(cache *tokencache.Cache) error { return cache.Put(response(1)) })
				if err != nil {
					c.Errorf("Update: %v", err)
				}
				var document map[string]json.RawMessage
				if err := json.Unmarshal(c.load(b, key).Data, &document); err != nil || string(document["SomebodysSection"]) != `{"x":[1,{"y":null}]}` {
					c.Errorf("after Update the unknown section is %s, %v", document["SomebodysSection"], err)
				}
				c.wantToken(core.NewStore(b), key, 1)
			}},
		{"legacy", must("A token that python-o365 wrote before 2.1 is ErrLegacyToken, and data that are no token cache are ErrCorrupt."), 0,
			func(c *trial) {
				a, b := c.pair()
				for data, want := range map[string]error{
					`{"token_type":"Bearer","scope":["User.Read"],"expires_in":3599,"access_token":"` + canary + `","refresh_token":"r","expires_at":1700000000.5}`: core.ErrLegacyToken,
					`{"AccessToken":{"torn`: core.ErrCorrupt,
					`[]`:                    core.ErrCorrupt,
					`not JSON`:              core.ErrCorrupt,
				} {
					c.save(a, key, []byte(data))
					_, _, err := core.NewStore(b).Load(c.ctx, key)
					c.wantErr(err, want, "Load of %.30q", data)
					c.wantNoSecret("its error", err, true)
				}
				_, _, err := core.NewStore(b).Load(c.ctx, "absent")
				c.wantErr(err, core.ErrNotFound, "Load of an absent record")
			}},
		{"damaged", must("A damaged record is ErrCorrupt for a store, or ErrDecrypt if it was encrypted, and never an empty token cache."), corrupts,
			func(c *trial) {
				a, b := c.pair()
				for _, opts := range [][]core.StoreOption{nil, {core.WithCryptography(c.newSeal())}} {
					c.storeSave(core.NewStore(a, opts...), key, c.tokens(1))
					c.corrupt(key)
					_, _, err := core.NewStore(b, opts...).Load(c.ctx, key)
					if !errors.Is(err, core.ErrCorrupt) && (opts == nil || !errors.Is(err, core.ErrDecrypt)) {
						c.Errorf("Load of a damaged record = %v, want ErrCorrupt", err)
					}
				}
			}},
		{"updates", must("When several processes update one record at the same time, no update is lost."), enforced,
			func(c *trial) {
				a, b := c.pair()
				const users = 6
				stores := []*core.Store{core.NewStore(a), core.NewStore(b)}
				c.together(users, func(i int) {
					if err := stores[i%2].Update(c.ctx, key, func(cache *tokencache.Cache) error {
						time.Sleep(5 * time.Millisecond) // so that all have loaded before one saves
						return cache.Put(response(i))
					}); err != nil {
						c.Errorf("Update beside others: %v", err)
					}
				})
				for i := range users {
					c.wantToken(stores[1], key, i)
				}
			}},
		{"refresh-once", must("When a token has expired and many callers in several processes ask for it, one refresh is made, and all get the new token."), coordinates,
			func(c *trial) {
				a, b := c.pair()
				expired := tokencache.New()
				old := response(0)
				old.Sent = time.Now().Add(-2 * time.Hour)
				if err := expired.Put(old); err != nil {
					c.Fatalf("%v", err)
				}
				c.storeSave(core.NewStore(a), key, expired)
				var refreshes atomic.Int32
				provider := func(_ context.Context, cache *tokencache.Cache, _ core.Refresh) error {
					refreshes.Add(1)
					time.Sleep(20 * time.Millisecond)
					r := response(0)
					r.AccessToken = "fresh"
					return cache.Put(r)
				}
				var sources []*core.TokenSource
				var stores []*core.Store
				for _, handle := range []core.TokenBackend{a, b, a, b} {
					s := core.NewStore(handle)
					stores = append(stores, s)
					sources = append(sources, s.TokenSource(key, user(0), provider))
				}
				c.together(20, func(i int) {
					token, err := sources[i%len(sources)].Token(c.ctx)
					if err != nil || token.Secret.Reveal() != "fresh" {
						c.Errorf("Token = one of %d bytes, %v; want the fresh one", len(token.Secret.Reveal()), err)
					}
				})
				if n := refreshes.Load(); n != 1 {
					c.Errorf("%d refreshes were made", n)
				}
				for _, s := range stores {
					if err := s.Flush(c.soon()); err != nil {
						c.Errorf("Flush: %v", err)
					}
				}
			}},
		{"redaction", must("A store's errors, its log and its events show no token, neither when all goes well nor when everything fails."), 0,
			func(c *trial) {
				a, b := c.pair()
				logged := new(captured)
				watch := observer(func(e core.Event) { c.wantNoSecret("an event", e, true) })
				s := core.NewStore(a, core.WithLogger(slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug - 4}))), core.WithObserver(watch))
				seen := func(what string, err error) { c.wantNoSecret(what, err, true) }
				c.storeSave(s, key, c.tokens(1))
				cache, v, err := s.Load(c.ctx, key)
				seen("Load", err)
				c.save(b, key, c.load(b, key).Data[1:])
				_, _, err = s.Load(c.ctx, key)
				seen("Load of a torn record", err)
				_, err = s.Save(c.ctx, key, c.tokens(2), v)
				seen("a stale Save", err)
				seen("Update of a torn record", s.Update(c.ctx, key, func(*tokencache.Cache) error { return nil }))
				_, _, err = s.Refresh(c.soon(), key, core.AnyVersion, func(context.Context, *tokencache.Cache) error {
					return errors.New("the provider said no")
				})
				seen("a failing Refresh", err)
				if c.fail != nil {
					c.fail(-1)
					_, _, err = s.Load(c.soon(), key)
					seen("Load in an outage", err)
					_, err = s.Save(c.soon(), key, c.tokens(3), core.AnyVersion)
					seen("Save in an outage", err)
					c.fail(0)
				}
				c.wantNoSecret("the log", logged.String(), true)
				for _, value := range []any{s, cache, s.TokenSource(key, user(1), nil), c.load(b, key).Version} {
					c.wantNoSecret(fmt.Sprintf("a %T", value), value, false)
				}
			}},
	}
}

// response is a sign-in of user n.
func response(n int) tokencache.TokenResponse {
	return tokencache.TokenResponse{
		AccessToken:  fmt.Sprintf("%s-access-%d", canary, n),
		RefreshToken: fmt.Sprintf("%s-refresh-%d", canary, n),
		ClientInfo:   base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, `{"uid":"user-%d","utid":"tenant"}`, n)),
		Scope:        "User.Read",
		ExpiresIn:    3600,
		ClientID:     "client",
		Tenant:       "tenant",
	}
}

func user(n int) tokencache.Query {
	return tokencache.Query{HomeAccountID: fmt.Sprintf("user-%d.tenant", n), ClientID: "client", Scopes: []string{"User.Read"}}
}

// tokens is a cache with user n signed in.
func (c *trial) tokens(n int) *tokencache.Cache {
	cache := tokencache.New()
	if err := cache.Put(response(n)); err != nil {
		c.Fatalf("the suite's own tokens: %v", err)
	}
	return cache
}

func (c *trial) storeSave(s *core.Store, key string, cache *tokencache.Cache) {
	if _, err := s.Save(c.ctx, key, cache, core.AnyVersion); err != nil {
		c.Fatalf("Store.Save(%q): %v", key, err)
	}
}

// wantToken expects user n's tokens in the record.
func (c *trial) wantToken(s *core.Store, key string, n int) {
	cache, _, err := s.Load(c.ctx, key)
	if err != nil {
		c.Errorf("Store.Load(%q): %v", key, err)
		return
	}
	access, hasAccess := cache.AccessToken(user(n))
	refresh, hasRefresh := cache.RefreshToken(user(n))
	want := response(n)
	if !hasAccess || !hasRefresh || access.Secret.Reveal() != want.AccessToken || refresh.Secret.Reveal() != want.RefreshToken {
		c.Errorf("Store.Load(%q) doesn't have the tokens of user %d", key, n)
	}
}

func (c *trial) rawOr(key string, none []byte) []byte {
	if c.raw == nil {
		return none
	}
	return c.raw(key)
}

// seal is AES-256-GCM, and has only what the cases need.
type seal struct{ aead cipher.AEAD }

func (c *trial) newSeal() seal {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails
	block, err := aes.NewCipher(key)
	if err != nil {
		c.Fatalf("the suite's own encryption: %v", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		c.Fatalf("the suite's own encryption: %v", err)
	}
	return seal{aead}
}

func (s seal) Encrypt(_ context.Context, plaintext, associatedData []byte) ([]byte, error) {
	return s.aead.Seal(nil, nil, plaintext, associatedData), nil
}

func (s seal) Decrypt(_ context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	plaintext, err := s.aead.Open(nil, nil, ciphertext, associatedData)
	if err != nil {
		return nil, core.ErrDecrypt
	}
	return plaintext, nil
}

type observer func(e core.Event)

func (f observer) Observe(_ context.Context, e core.Event) { f(e) }
