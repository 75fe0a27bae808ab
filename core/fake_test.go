package core_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core"
	backendpkg "github.com/graphtoken/graphtoken/core/backend"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// store is what several fake backends share, as processes share a server.
type store struct {
	mu      sync.Mutex
	records map[string]core.Record
	counter int
	leases  backendpkg.LocalLeases
}

// backend is one handle on a store, with a coordinated refresh, a count of
// what was asked of it, and faults.
type backend struct {
	*store
	mu         sync.Mutex
	ops        map[string]int
	failing    map[string]error // by operation; "" for all
	beforeSave func()           // called once, before the next Save
}

func newBackend() *backend { return handle(&store{records: map[string]core.Record{}}) }

func handle(s *store) *backend {
	return &backend{store: s, ops: map[string]int{}, failing: map[string]error{}}
}

var errOutage = errors.New("connection refused")

func (b *backend) fail(op string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.failing[op] = err
}

func (b *backend) count(op string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.ops[op]
}

func (b *backend) begin(ctx context.Context, op, key string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ops[op]++
	err := errors.Join(core.ValidateKey(key), ctx.Err(), b.failing[op], b.failing[""])
	if err != nil {
		return &core.Error{Op: op, Backend: "fake", Key: key, Err: err}
	}
	return nil
}

func (b *backend) Load(ctx context.Context, key string) (core.Record, error) {
	if err := b.begin(ctx, "load", key); err != nil {
		return core.Record{}, err
	}
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	rec, ok := b.records[key]
	if !ok {
		return core.Record{}, &core.Error{Op: "load", Backend: "fake", Key: key, Err: core.ErrNotFound}
	}
	rec.Data = append([]byte(nil), rec.Data...)
	return rec, nil
}

func (b *backend) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	b.mu.Lock()
	hook := b.beforeSave
	b.beforeSave = nil
	b.mu.Unlock()
	if hook != nil {
		hook()
	}
	if err := b.begin(ctx, "save", key); err != nil {
		return "", err
	}
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	stored, ok := b.records[key]
	if !ok {
		stored.Version = core.Absent
	}
	if rec.Version != core.AnyVersion && rec.Version != stored.Version {
		return "", &core.Error{Op: "save", Backend: "fake", Key: key, Err: core.ErrConflict}
	}
	b.counter++
	v := core.Version(strconv.Itoa(b.counter))
	b.records[key] = core.Record{Data: append([]byte(nil), rec.Data...), Version: v}
	b.leases.Touch(key)
	return v, nil
}

func (b *backend) Check(ctx context.Context, key string) (bool, error) {
	if err := b.begin(ctx, "check", key); err != nil {
		return false, err
	}
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	_, ok := b.records[key]
	return ok, nil
}

func (b *backend) Delete(ctx context.Context, key string) error {
	if err := b.begin(ctx, "delete", key); err != nil {
		return err
	}
	b.store.mu.Lock()
	defer b.store.mu.Unlock()
	delete(b.records, key)
	b.leases.Touch(key)
	return nil
}

func (b *backend) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return core.Coordinate(ctx, b, b, key, req)
}

// wait is a Watcher's Wait, for the version that version returns.
func (s *store) wait(ctx context.Context, key string, seen core.Version, version func() (core.Version, error)) error {
	return backendpkg.Wait(ctx, backendpkg.Origin("fake").Op("wait", key), seen, s.leases.Watch(key, version))
}

func (b *backend) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	if err := b.begin(ctx, "acquire", key); err != nil {
		return nil, err
	}
	return b.leases.Acquire(ctx, key, ttl)
}

// alone is the same store without coordination.
type alone struct {
	core.Uncoordinated
	*backend
}

func (b alone) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return b.Uncoordinated.ShouldRefresh(ctx, key, req)
}

const (
	clientID = "11111111-2222-3333-4444-555555555555"
	tenant   = "cccccccc-0000-0000-0000-000000000000"
)

func home(user string) string { return user + "." + tenant }

// idp is an identity provider with single-use refresh tokens, one family per
// user: a spent one revokes it.
type idp struct {
	lifetime time.Duration
	now      func() time.Time

	mu      sync.Mutex
	current map[string]string // user → the one good refresh token
	signIns int
	grants  int
	err     error
	before  func() error  // called before each grant; its error is the grant's
	wait    chan struct{} // a grant waits until it is closed
	arrived chan struct{} // receives once per grant that waits
	claims  []string
}

func newIDP() *idp {
	return &idp{lifetime: time.Hour, now: time.Now, current: map[string]string{}, arrived: make(chan struct{}, 100)}
}

// response is the answer to the nth refresh.
func (p *idp) response(user string) tokencache.TokenResponse {
	p.grants++
	return p.issue(user, fmt.Sprint(p.grants))
}

func (p *idp) issue(user, serial string) tokencache.TokenResponse {
	p.current[user] = "rt-" + user + "-" + serial
	return tokencache.TokenResponse{
		AccessToken:   "at-" + user + "-" + serial,
		RefreshToken:  p.current[user],
		Scope:         "User.Read",
		TokenType:     "Bearer",
		ExpiresIn:     int(p.lifetime / time.Second),
		ClientID:      clientID,
		Environment:   "login.microsoftonline.com",
		Tenant:        "common",
		HomeAccountID: home(user),
		Sent:          p.now(),
	}
}

func (p *idp) signIn(t testing.TB, s *core.Store, key string, users ...string) {
	t.Helper()
	for _, user := range users {
		p.mu.Lock()
		p.signIns++
		r := p.issue(user, fmt.Sprintf("in%d", p.signIns))
		r.GrantType = "authorization_code"
		p.mu.Unlock()
		if err := s.Update(context.Background(), key, func(c *tokencache.Cache) error { return c.Put(r) }); err != nil {
			t.Fatal(err)
		}
	}
}

func (p *idp) set(change func(*idp)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(p)
}

func (p *idp) count() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.grants
}

// refresh is a core.RefreshFunc.
func (p *idp) refresh(ctx context.Context, c *tokencache.Cache, r core.Refresh) error {
	p.mu.Lock()
	wait, before := p.wait, p.before
	p.mu.Unlock()
	if before != nil {
		if err := before(); err != nil {
			return err
		}
	}
	if wait != nil {
		p.arrived <- struct{}{}
		select {
		case <-wait:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.claims = append(p.claims, r.Claims)
	if p.err != nil {
		p.grants++
		return p.err
	}
	rt, ok := c.RefreshToken(r.Query)
	if !ok {
		return core.ErrReauthRequired
	}
	for user, good := range p.current {
		if home(user) != rt.HomeAccountID {
			continue
		}
		if good != rt.Secret.Reveal() {
			p.current[user] = "revoked"
			return fmt.Errorf("invalid_grant: %w", core.ErrReauthRequired)
		}
		return c.Put(p.response(user))
	}
	return core.ErrReauthRequired
}

func ana() tokencache.Query {
	return tokencache.Query{HomeAccountID: home("ana"), ClientID: clientID, Scopes: []string{"User.Read"}}
}

func bo() tokencache.Query {
	return tokencache.Query{HomeAccountID: home("bo"), ClientID: clientID, Scopes: []string{"User.Read"}}
}

func mustToken(t testing.TB, ts *core.TokenSource, opts ...core.TokenOption) string {
	t.Helper()
	at, err := ts.Token(context.Background(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	return at.Secret.Reveal()
}
