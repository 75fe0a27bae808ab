package core

import (
	"context"
	"errors"
	"time"
)

// failure is an error that is remembered for a while, so that callers don't fail one after
// the other, each by a request of its own.
type failure struct {
	err   error
	state uint64 // of the refresh token that was sent; see attempt.state
	count int
	since time.Time
	until time.Time
}

const (
	firstBackoff, lastBackoff = time.Second, time.Minute
	// longestRetryAfter bounds the time that a provider asks clients to wait. The provider
	// may be mistaken, and another process may store a good token meanwhile.
	longestRetryAfter = time.Hour
)

// again returns the failure after one more failed try. It is remembered for twice as long
// as the one before, and at least as long as the provider asks clients to wait.
func (f failure) again(err error, state uint64, now time.Time) failure {
	wait := min(firstBackoff<<min(f.count, 10), lastBackoff)
	if retry, told := retryAfterOf(err); told {
		wait = max(wait, min(retry, longestRetryAfter))
	}
	return failure{err: err, state: state, count: f.count + 1, since: now, until: now.Add(wait)}
}

// active reports whether the failure is remembered at now. A clock that was set
// back must not make it last.
func (f failure) active(now time.Time) bool {
	return f.err != nil && now.Before(f.until) && !now.Before(f.since)
}

// with reports whether the failure is active, and happened with the refresh token
// that the record still has.
func (f failure) with(state uint64, now time.Time) bool {
	return f.active(now) && f.state == state
}

// recordFailures are the failures that concern several queries of a record.
type recordFailures struct {
	store     failure
	providers failures // by the environment of the query
	users     failures // by account, provider and client
}

// slotFailures are the failures of one query: without a claims challenge, and with the
// challenge that failed last.
type slotFailures struct {
	plain, challenged failure
	challenge         string
}

// of returns the failure of a request with this claims challenge; "" is a request without
// one.
func (f *slotFailures) of(claims string) failure {
	switch claims {
	case "":
		return f.plain
	case f.challenge:
		return f.challenged
	}
	return failure{}
}

func (f *slotFailures) add(claims string, err error, state uint64, now time.Time) (until time.Time) {
	if claims == "" {
		f.plain = f.plain.again(err, state, now)
		return f.plain.until
	}
	f.challenged, f.challenge = f.of(claims).again(err, state, now), claims
	return f.challenged.until
}

// failures are the failures of several users, or of several providers, by name.
type failures map[string]failure

func (f *failures) add(name string, err error, state uint64, now time.Time) (until time.Time) {
	known := (*f)[name]
	for other, old := range *f {
		if now.After(old.until.Add(lastBackoff)) {
			delete(*f, other)
		}
	}
	if *f == nil {
		*f = make(failures)
	}
	(*f)[name] = known.again(err, state, now)
	return (*f)[name].until
}

// failed notes that the record could not be refreshed, and returns the reason.
func (a *attempt) failed(err error, ofProvider bool) error {
	switch {
	case ofProvider:
		return a.remember(scopeOf(err), err)
	case errors.Is(err, context.DeadlineExceeded):
		return err // the attempt waited for another process, and its time is over
	}
	return a.ofStore(err)
}

// ofStore notes a failure of the store. If the callers have left, that is no failure.
func (a *attempt) ofStore(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	return a.remember(FailureOfStore, err)
}

// remember notes a failure, so that the refreshes that its scope names are not tried.
func (a *attempt) remember(scope FailureScope, err error) error {
	if s := a.noteFailure(scope, err); s != nil {
		a.table.sweep(s)
	}
	return err
}

func (a *attempt) noteFailure(scope FailureScope, err error) *slot {
	shard, r := a.record.shard, a.record
	shard.mu.Lock()
	defer shard.mu.Unlock()
	now := a.table.store.now()
	s := r.slots.get(&a.source.id)
	if s == nil {
		s = a.table.slot(r, &a.source.id, now)
	}
	if r.failures == nil {
		r.failures = new(recordFailures)
	}
	var until time.Time
	switch {
	case scope == FailureOfStore:
		r.failures.store = r.failures.store.again(err, a.state, now)
		until = r.failures.store.until
	case scope == FailureOfProvider:
		until = r.failures.providers.add(a.provider(), err, a.state, now)
	case scope == FailureOfUser && a.user != "" && a.claims == "":
		until = r.failures.users.add(a.user, err, a.state, now)
	default: // a refused challenge says nothing about requests without it
		if s.failures == nil {
			s.failures = new(slotFailures)
		}
		until = s.failures.add(a.claims, err, a.state, now)
	}
	if s.token.Load() == nil {
		s.leaves = until // while the slot is there, the record's failures are remembered
	}
	return s
}

// remembered returns the error of a refresh that failed a moment ago, if the refresh
// token is still the same, or the provider has not recovered since.
func (a *attempt) remembered() error {
	if a.force {
		return nil
	}
	shard, r := a.record.shard, a.record
	shard.mu.RLock()
	defer shard.mu.RUnlock()
	now := a.table.store.now()
	if f := r.failures; f != nil {
		if provider := f.providers[a.provider()]; provider.active(now) {
			return provider.err
		}
		if user := f.users[a.user]; user.with(a.state, now) {
			return user.err
		}
	}
	if s := r.slots.get(&a.source.id); s != nil && s.failures != nil {
		if own := s.failures.of(a.claims); own.with(a.state, now) {
			return own.err
		}
	}
	return nil
}
