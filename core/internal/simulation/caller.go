package simulation

import (
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// scopes are what callers ask for.
var scopes = []string{"User.Read", "Mail.Read"}

// patience is how long a caller waits that doesn't leave early.
const patience = 5 * time.Minute

// caller is one part of a process that needs the tokens of one query.
type caller struct {
	process     *process
	name        string
	chance      *rand.Rand
	user, scope string
	last        tokencache.AccessToken // that it got
}

func (p *process) newCaller(i int) *caller {
	c := &caller{process: p, name: p.name + "." + strconv.Itoa(i)}
	c.chance = p.run.seed.draw("caller", c.name)
	c.user = p.run.users[c.chance.IntN(len(p.run.users))]
	c.scope = scopes[c.chance.IntN(len(scopes))]
	if p.run.conditions.refusesScope && i == 0 && c.chance.IntN(2) == 0 {
		c.scope = forbidden
	}
	return c
}

// live asks for tokens until the run ends or the process dies.
func (c *caller) live() {
	p := c.process
	rest := between(c.chance, time.Millisecond, 10*time.Second)
	for {
		p.pause(context.Background(), rest)
		p.awake(c.name)
		if p.dead() || p.run.ended() {
			return
		}
		rest = c.act()
		p.awake(c.name)
	}
}

// act does one thing, and returns how long the caller rests afterwards.
func (c *caller) act() time.Duration {
	p, r := c.process, c.chance
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	often := between(r, time.Second, 20*time.Second)
	seldom := between(r, time.Second, p.run.conditions.lifetime/3)
	if p.run.conditions.troubled(p.run.since()) {
		seldom /= 4 // so that more goes wrong
	}
	switch n := r.IntN(100); {
	case n < 66:
		if c.token(ctx, demand{}) != nil {
			return often
		}
	case n < 70:
		_ = c.token(ctx, demand{minValidity: between(r, 0, p.run.conditions.lifetime)})
	case n < 80:
		_ = c.token(ctx, demand{force: true})
	case n < 84:
		_ = c.token(ctx, demand{rejected: c.last.Secret})
	case n < 88:
		early, cancel := context.WithTimeout(ctx, between(r, time.Millisecond, 2*time.Second))
		defer cancel()
		_ = c.token(early, demand{leaves: true, force: r.IntN(2) == 0})
		return often
	case n < 91:
		p.signOut(ctx, c.user, !p.run.conditions.shared || r.IntN(4) == 0)
	case n < 94:
		p.signIn(ctx, c.user)
	case n < 96:
		p.flush(ctx)
	case n < 98:
		c.loadAndSave(ctx)
	default:
		return often
	}
	return seldom
}

// demand is what a call asks for.
type demand struct {
	minValidity time.Duration
	rejected    tokencache.Secret
	force       bool
	leaves      bool // the caller may leave before there is an answer
}

func (d demand) String() string {
	s := "token"
	if d.force {
		s = "forced refresh"
	}
	if d.minValidity > 0 {
		s += " valid for " + d.minValidity.String()
	}
	if d.rejected != "" {
		s += " other than " + d.rejected.Reveal()
	}
	return s
}

// token asks for a token, and judges the answer.
func (c *caller) token(ctx context.Context, d demand) error {
	p := c.process
	query := tokencache.Query{HomeAccountID: home(c.user), ClientID: clientID, Scopes: []string{c.scope}}
	source := p.store.Load().TokenSource(p.run.key(c.user), query, p.run.provider.refreshFunc(p, func() context.Context { return ctx }))
	var options []core.TokenOption
	if d.minValidity > 0 {
		options = append(options, core.MinValidity(d.minValidity))
	}
	if d.rejected != "" {
		options = append(options, core.Rejected(d.rejected))
	}
	ask := source.Token
	if d.force {
		ask = source.Refresh
	}
	a := &asked{caller: c, demand: d, span: span{p.run.since(), endOfTime}}
	p.run.asks(a)
	got, err := ask(ctx, options...)
	p.run.ends(a)
	p.run.history.note(c.name, d.String(), c.user, c.scope, got.Secret.Reveal(), outcome(err))
	if p.dead() {
		return errDead
	}
	if got.Secret != "" {
		p.run.checkServed(a, got)
		c.last = got
	}
	p.run.checkWait(a, err)
	if err != nil && errors.Is(err, core.ErrReauthRequired) && c.chance.IntN(4) == 0 {
		// Callers that waited for one refresh get its failure at the same moment. Each pauses
		// for a time of its own; otherwise the order of the goroutines, and not the seed, would
		// decide which of them signs in first.
		p.pause(ctx, between(c.chance, time.Millisecond, 100*time.Millisecond))
		p.signIn(ctx, c.user)
	}
	return err
}

// flush saves what is unsaved.
func (p *process) flush(ctx context.Context) {
	err := p.store.Load().Flush(ctx)
	p.run.history.note(p.name, "flushed", outcome(err))
	if !p.dead() {
		p.run.checkFlush(p, err)
	}
}

// loadAndSave saves the loaded record twice with the same version: the second save must not
// overwrite the first.
func (c *caller) loadAndSave(ctx context.Context) {
	p := c.process
	store, key := p.store.Load(), p.run.key(c.user)
	cache, v, err := store.Load(ctx, key)
	for range 2 {
		if err != nil {
			break
		}
		p.pause(ctx, between(c.chance, time.Millisecond, 10*time.Second))
		v, err = store.Save(ctx, key, cache, v)
	}
	p.run.history.note(c.name, "loaded and saved twice", key, outcome(err))
}
