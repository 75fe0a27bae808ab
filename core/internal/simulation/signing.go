package simulation

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// signing is a sign-in or a sign-out, as the process that does it sees it.
type signing struct {
	process *process
	user    string
	in      bool
	span         // to is the end of time while it is under way
	done    bool // it succeeded
	kept    bool // it succeeded in the process alone: the store will have it later
}

const endOfTime = 1000 * time.Hour

// wire limits the time between the moment when a caller gets its answer and the effect of the call.
const wire = 30 * time.Second

// ledger has all sign-ins and sign-outs.
type ledger struct {
	mu       sync.Mutex
	signings []*signing
}

func (l *ledger) begin(p *process, user string, in bool) *signing {
	s := &signing{process: p, user: user, in: in, span: span{p.run.since(), endOfTime}}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.signings = append(l.signings, s)
	return s
}

// end notes how the signing ended. A signing that failed may have had its effect, or may have it
// later.
func (l *ledger) end(s *signing, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := s.process.run.since()
	switch {
	case err == nil:
		s.done, s.to = true, now
	case errors.Is(err, core.ErrRefreshedNotSaved) && !s.process.dead():
		s.done, s.kept = true, true
	default:
		s.to = now + wire
	}
}

// underWay reports whether a sign-in, or a sign-out, of the user may have its effect now.
func (l *ledger) underWay(user string, in bool, now time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.signings {
		if s.user == user && s.in == in && s.from <= now && now <= s.to {
			return true
		}
	}
	return false
}

// signedOutSince reports whether a process has signed the user out since a time.
func (l *ledger) signedOutSince(p *process, user string, since time.Duration) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.ContainsFunc(l.signings, func(s *signing) bool {
		return !s.in && s.process == p && s.user == user && since <= s.to
	})
}

// overlaps reports whether the user signed in or out, or tried to, in a span.
func (l *ledger) overlaps(user string, during span) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.signings {
		if s.user == user && s.from <= during.to && during.from <= s.to {
			return true
		}
	}
	return false
}

// last returns the sign-in or sign-out that decides whether the user is signed in; nil
// where none does, because the last ones overlap or failed.
func (l *ledger) last(user string) (last *signing) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.signings {
		if s.user == user && s.done && !(s.process.dead() && s.kept) && l.allBefore(s) {
			last = s
		}
	}
	return last
}

// allBefore reports whether all of the contrary had ended when s began. mu is held.
func (l *ledger) allBefore(s *signing) bool {
	for _, o := range l.signings {
		if o.user == s.user && o.in != s.in && o.to >= s.from {
			return false
		}
	}
	return true
}

// signedOutBy returns a sign-out of the user that a process finished before a time, with no
// sign-in since; nil for none.
func (l *ledger) signedOutBy(p *process, user string, before time.Duration) *signing {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.signings {
		if !s.in && s.done && s.process == p && s.user == user && s.to < before && l.allBefore(s) {
			return s
		}
	}
	return nil
}

// signIn signs a user in on the process, and has the tokens filed by Store.Put, or, as a
// program of its own might do it, by an update.
func (p *process) signIn(ctx context.Context, user string) {
	s := p.run.ledger.begin(p, user, true)
	byUpdate := p.run.seed.draw("sign-in", p.name, text(s.from)).IntN(3) == 0
	response, err := p.run.provider.signIn(ctx, p, user)
	store, key := p.store.Load(), p.run.key(user)
	switch {
	case err != nil:
	case byUpdate:
		err = store.Update(ctx, key, func(c *tokencache.Cache) error { return c.Put(response) })
	default:
		_, err = store.Put(ctx, key, response)
	}
	p.run.ledger.end(s, err)
	p.run.history.note(p.name, "signed in", user, outcome(err))
}

// signOut signs a user out, or with the record all of its users.
func (p *process) signOut(ctx context.Context, user string, all bool) {
	key := p.run.key(user)
	users := []string{user}
	if all {
		users = p.run.usersOf(key)
	}
	var signings []*signing
	for _, u := range users {
		signings = append(signings, p.run.ledger.begin(p, u, false))
	}
	p.run.history.note(p.name, "signs out", user, key)
	var err error
	if all {
		err = p.store.Load().Delete(ctx, key)
	} else {
		err = p.store.Load().Update(ctx, key, func(c *tokencache.Cache) error {
			c.Remove(tokencache.Query{HomeAccountID: home(user)})
			return nil
		})
	}
	for _, s := range signings {
		p.run.ledger.end(s, err)
	}
	p.run.history.note(p.name, "signed out", user, key, outcome(err))
}
