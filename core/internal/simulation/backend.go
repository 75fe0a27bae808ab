package simulation

import (
	"context"
	"errors"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// backend is one process's handle on the records, as its SDK's client would be.
// Every call is a [call].
type backend struct{ process *process }

// backend returns the handle that fits the run's conditions.
func (p *process) backend() core.TokenBackend {
	b, c := backend{p}, &p.run.conditions
	switch {
	case p.run.mutant.Uncoordinated:
		return uncoordinated{backend: b}
	case c.otherLeaser && c.watched:
		return core.WithLeaser(uncoordinated{backend: b}, watchedLeaser{leaser{b}})
	case c.otherLeaser:
		return core.WithLeaser(uncoordinated{backend: b}, leaser{b})
	case c.watched:
		return watched{coordinated{b, leaser{b}}}
	}
	return coordinated{b, leaser{b}}
}

// nothing is the answer of an operation that returns an error alone.
type nothing struct{}

// ask makes an operation of the store.
func ask[T any](ctx context.Context, b backend, op, key, detail string, effect func() (T, string, error)) (T, error) {
	failed := func(err error) error { return &core.Error{Op: op, Backend: "model", Key: key, Err: err} }
	return call[T]{
		request: request{op: op, key: key, detail: detail, odds: b.process.run.conditions.storeOdds(op), slowest: b.process.run.conditions.slowest},
		failed:  failed,
		effect: func() (answer T, note string, err error) {
			if answer, note, err = effect(); err != nil {
				err = failed(err)
			}
			return answer, note, err
		},
	}.do(ctx, b.process)
}

func (b backend) Load(ctx context.Context, key string) (core.Record, error) {
	return ask(ctx, b, "load", key, "", func() (core.Record, string, error) {
		rec, err := b.process.run.records.load(key)
		return rec, string(rec.Version), err
	})
}

func (b backend) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	rec.Data = append(core.Data(nil), rec.Data...)
	return ask(ctx, b, "save", key, string(rec.Version), func() (core.Version, string, error) {
		v, err := b.process.run.records.save(b.process, key, rec)
		return v, string(rec.Version) + " → " + string(v), err
	})
}

func (b backend) Check(ctx context.Context, key string) (bool, error) {
	return ask(ctx, b, "check", key, "", func() (bool, string, error) {
		return b.process.run.records.check(key), "", nil
	})
}

func (b backend) Delete(ctx context.Context, key string) error {
	_, err := ask(ctx, b, "delete", key, "", func() (nothing, string, error) {
		b.process.run.records.delete(b.process, key)
		return nothing{}, "", nil
	})
	return err
}

// leaser is a core.Leaser.
type leaser struct{ backend }

func (l leaser) Acquire(ctx context.Context, key string, ttl time.Duration) (core.Lease, error) {
	granted, err := ask(ctx, l.backend, "acquire", key, "", func() (*grantedLease, string, error) {
		granted, err := l.process.run.records.leases.acquire(l.process, key, ttl)
		return granted, "", err
	})
	if err != nil {
		return nil, err
	}
	return lease{l.backend, granted, key}, nil
}

type lease struct {
	backend
	granted *grantedLease
	key     string
}

func (l lease) Renew(ctx context.Context, ttl time.Duration) error {
	_, err := ask(ctx, l.backend, "renew", l.key, "", func() (nothing, string, error) {
		return nothing{}, "", l.process.run.records.leases.renew(l.granted, l.key, ttl)
	})
	return err
}

func (l lease) Release(ctx context.Context) error {
	_, err := ask(ctx, l.backend, "release", l.key, "", func() (nothing, string, error) {
		return nothing{}, "", l.process.run.records.leases.release(l.granted, l.key)
	})
	return err
}

// coordinated is a store that has leases, as most have.
type coordinated struct {
	backend
	leaser
}

func (b coordinated) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return core.Coordinate(ctx, b, b, key, req)
}

// uncoordinated is a store that needs core.WithLeaser.
type uncoordinated struct {
	core.Uncoordinated
	backend
}

// watched is a store that wakes its waiters.
type watched struct{ coordinated }

func (b watched) ShouldRefresh(ctx context.Context, key string, req core.RefreshRequest) (core.RefreshDecision, error) {
	return core.Coordinate(ctx, b, b, key, req)
}

func (b watched) Wait(ctx context.Context, key string, seen core.Version) error {
	records := &b.process.run.records
	return b.process.wait(ctx, key, func() bool { return records.version(key) != seen })
}

// watchedLeaser wakes the waiters for a lease. It sees no record.
type watchedLeaser struct{ leaser }

func (l watchedLeaser) Wait(ctx context.Context, key string, _ core.Version) error {
	return l.process.wait(ctx, key, func() bool { return false })
}

// wait is a Watcher's Wait. While things go wrong a wake-up can be lost.
func (p *process) wait(ctx context.Context, key string, changed func() bool) error {
	p.awake(p.name, "wait", key, "send")
	f := p.fateOf(request{op: "wait", key: key, odds: p.run.conditions.storeOdds("wait"), slowest: p.run.conditions.slowest})
	err := error(nil)
	if f.fault == none {
		err = p.run.records.leases.wait(ctx, p, key, changed)
	} else {
		p.run.history.note(p.name, "wait", key, "is never woken")
		p.pause(ctx, f.there+f.back+time.Minute)
		err = errors.Join(ctx.Err(), errOutage)
	}
	p.pause(context.Background(), f.back)
	p.awake(p.name, "wait", key, "receive")
	if p.dead() {
		return errDead
	}
	return err
}
