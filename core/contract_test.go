package core_test

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/bearer"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// The names and signatures that docs/contract.md has: outside
// programs compile against them. This file need only compile.
var (
	_ = []core.Version{core.AnyVersion, core.Absent}
	_ = core.Record{Data: []byte{}, Version: "", Modified: time.Time{}}
	_ = core.RefreshRequest{Seen: "", Refresh: func(context.Context, core.Record) error { return nil }, LeaseTTL: time.Second}
	_ = []core.RefreshDecision{core.RefreshNow, core.RefreshedElsewhere, core.RefreshedHere}
	_ = core.Uncoordinated{}
	_ = core.Error{Op: "", Backend: "", Key: "", Err: nil}
	_ = core.Event{Name: "", Key: "", Duration: 0, Err: nil}
	_ = core.Refresh{Query: tokencache.Query{}, Force: true, Claims: ""}

	_ func(context.Context, core.TokenBackend, core.Leaser, string, core.RefreshRequest) (core.RefreshDecision, error) = core.Coordinate
	_ func(core.TokenBackend, core.Leaser) core.TokenBackend                                                           = core.WithLeaser
	_ func(core.TokenBackend) (core.Leaser, bool)                                                                      = core.As[core.Leaser]

	_ func(namespace, key string) []byte = core.AssociatedData

	_ core.RefreshFunc = func(context.Context, *tokencache.Cache, core.Refresh) error { return nil }

	_ = []error{core.ErrNotFound, core.ErrConflict, core.ErrLeaseHeld, core.ErrLeaseLost, core.ErrTooLarge, core.ErrDecrypt, core.ErrReadOnly,
		core.ErrInvalidKey, core.ErrReauthRequired, core.ErrRefreshedNotSaved, core.ErrNotNeeded, core.ErrCorrupt, core.ErrLegacyToken, core.ErrAmbiguous}

	_ func(core.TokenBackend, ...core.StoreOption) *core.Store = core.NewStore

	_ = []core.StoreOption{core.WithCryptography(nil), core.WithNamespace(""), core.WithPlaintextReads(), core.WithLogger(slog.Default()),
		core.WithObserver(nil), core.WithClock(time.Now), core.WithRefreshWindow(time.Minute, time.Second), core.WithRefreshTimeout(time.Second),
		core.WithLeaseTTL(time.Second), core.WithMaxStale(time.Second), core.WithMaxTokens(1)}
	_ = []core.TokenOption{core.MinValidity(time.Minute), core.Claims(""), core.Rejected(tokencache.Secret(""))}

	_ interface {
		Load(context.Context, string) (*tokencache.Cache, core.Version, error)
		Save(context.Context, string, *tokencache.Cache, core.Version) (core.Version, error)
		Update(context.Context, string, func(*tokencache.Cache) error) error
		Check(context.Context, string) (bool, error)
		Delete(context.Context, string) error
		Refresh(context.Context, string, core.Version, func(context.Context, *tokencache.Cache) error) (*tokencache.Cache, core.Version, error)
		Flush(context.Context) error
		TokenSource(string, tokencache.Query, core.RefreshFunc) *core.TokenSource
	} = (*core.Store)(nil)
	_ interface {
		Token(context.Context, ...core.TokenOption) (tokencache.AccessToken, error)
		Refresh(context.Context, ...core.TokenOption) (tokencache.AccessToken, error)
	} = (*core.TokenSource)(nil)
	_ bearer.TokenSource = (*core.TokenSource)(nil)
)

// A foreign backend with every capability.
type foreign struct{ core.Uncoordinated }

func (foreign) Load(context.Context, string) (core.Record, error)               { return core.Record{}, nil }
func (foreign) Save(context.Context, string, core.Record) (core.Version, error) { return "", nil }
func (foreign) Check(context.Context, string) (bool, error)                     { return false, nil }
func (foreign) Delete(context.Context, string) error                            { return nil }
func (foreign) Acquire(context.Context, string, time.Duration) (core.Lease, error) {
	return foreign{}, nil
}
func (foreign) Renew(context.Context, time.Duration) error       { return nil }
func (foreign) Release(context.Context) error                    { return nil }
func (foreign) Wait(context.Context, string, core.Version) error { return nil }
func (foreign) Keys(context.Context) iter.Seq2[string, error]    { return nil }
func (foreign) Ping(context.Context) error                       { return nil }
func (foreign) MaxSize() int                                     { return 0 }
func (foreign) Space(context.Context) (int64, int64, error)      { return 0, 0, nil }
func (foreign) Unwrap() core.TokenBackend                        { return nil }
func (foreign) Encrypt(_ context.Context, plaintext, associatedData []byte) ([]byte, error) {
	return nil, nil
}
func (foreign) Decrypt(_ context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	return nil, nil
}
func (foreign) Observe(context.Context, core.Event) {}

var (
	_ core.TokenBackend        = foreign{}
	_ core.Leaser              = foreign{}
	_ core.Lease               = foreign{}
	_ core.Watcher             = foreign{}
	_ core.Lister              = foreign{}
	_ core.Pinger              = foreign{}
	_ core.SizeLimiter         = foreign{}
	_ core.SpaceReporter       = foreign{}
	_ core.Unwrapper           = foreign{}
	_ core.CryptographyManager = foreign{}
	_ core.Observer            = foreign{}
)

// Package tokencache's part.
var (
	_ = []error{tokencache.ErrCorrupt, tokencache.ErrLegacyToken, tokencache.ErrAmbiguous}

	_ func() *tokencache.Cache                                     = tokencache.New
	_ func([]byte) (*tokencache.Cache, error)                      = tokencache.Parse
	_ func(base, mine, theirs *tokencache.Cache) *tokencache.Cache = tokencache.Merge

	_ interface {
		Marshal() ([]byte, error)
		Clone() *tokencache.Cache
		Replace(*tokencache.Cache)
		Accounts() []tokencache.Account
		Account(tokencache.Query) (tokencache.Account, bool)
		AccessToken(tokencache.Query) (tokencache.AccessToken, bool)
		RefreshToken(tokencache.Query) (tokencache.RefreshToken, bool)
		IDToken(tokencache.Query) (tokencache.IDToken, bool)
		Put(tokencache.TokenResponse) error
		DropAccessToken(tokencache.Query) bool
		Remove(tokencache.Query) bool
		Expired(tokencache.Query, time.Time) bool
		LongLived(tokencache.Query) bool
	} = (*tokencache.Cache)(nil)

	_ = tokencache.Query{Username: "", HomeAccountID: "", ClientID: "", Tenant: "", Scopes: []string{}, App: true}
	_ = tokencache.AccessToken{Secret: "", ExpiresOn: time.Time{}, CachedAt: time.Time{}, RefreshOn: time.Time{}, Scopes: []string{},
		HomeAccountID: "", ClientID: "", Realm: "", Environment: "", TokenType: ""}
	_ = tokencache.TokenResponse{AccessToken: "", RefreshToken: "", IDToken: "", ClientInfo: "", Scope: "", TokenType: "", FamilyID: "",
		ExpiresIn: 0, ExtExpiresIn: 0, RefreshIn: 0, ClientID: "", Environment: "", Tenant: "", HomeAccountID: "", Sent: time.Time{}}
	_ string = tokencache.Secret("").Reveal()
)
