package main

import (
	"context"
	"crypto/rand"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/alexedwards/scs/v2/memstore"
	goredis "github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/account"
)

// errNoFlow: the redirect belongs to no sign-in that this browser has begun, or to one
// that it has finished.
var errNoFlow = errors.New("the session has no such sign-in under way")

// flows are where sign-ins under way are kept, each until it expires. They are not part
// of the session, which is saved as a whole: of two sign-ins that two tabs begin at
// once, one would be lost.
type flows interface {
	put(ctx context.Context, key string, flow []byte, until time.Time) error
	take(ctx context.Context, key string) (flow []byte, err error) // errNoFlow the second time
}

type flowsInMemory struct {
	mu    sync.Mutex
	store *memstore.MemStore
}

func (f *flowsInMemory) put(_ context.Context, key string, flow []byte, until time.Time) error {
	return f.store.Commit(key, flow, until)
}

func (f *flowsInMemory) take(_ context.Context, key string) ([]byte, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	flow, found, err := f.store.Find(key)
	if err == nil && !found {
		err = errNoFlow
	}
	if err != nil {
		return nil, err
	}
	return flow, f.store.Delete(key)
}

type flowsInRedis struct{ client *goredis.Client }

func (f flowsInRedis) put(ctx context.Context, key string, flow []byte, until time.Time) error {
	return f.client.Set(ctx, "webapp:flow:"+key, flow, time.Until(until)).Err()
}

func (f flowsInRedis) take(ctx context.Context, key string) ([]byte, error) {
	flow, err := f.client.GetDel(ctx, "webapp:flow:"+key).Bytes()
	if errors.Is(err, goredis.Nil) {
		err = errNoFlow
	}
	return flow, err
}

// browser returns the name of the session, which it gets by its first page.
func (s *web) browser(r *http.Request) string {
	name := s.sessions.GetString(r.Context(), browserKey)
	if name == "" {
		name = rand.Text()
		s.sessions.Put(r.Context(), browserKey, name)
	}
	return name
}

// keep keeps a flow for the session.
func (s *web) keep(r *http.Request, flow account.Flow) error {
	data, err := flow.Marshal()
	if err != nil {
		return err
	}
	return s.flows.put(r.Context(), s.browser(r)+"."+flow.State(), data, flow.Expires())
}

// take takes the flow with a state, if it is the session's, so that a redirect that
// comes a second time finds none.
func (s *web) take(r *http.Request, state string) (account.Flow, error) {
	data, err := s.flows.take(r.Context(), s.browser(r)+"."+state)
	if err != nil {
		return account.Flow{}, err
	}
	return account.ParseFlow(data)
}
