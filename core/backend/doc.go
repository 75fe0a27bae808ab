// Package backend has what every backend needs, so that nobody writes it again.
//
// A backend names itself once, and each of its methods is one operation:
//
//	const origin backend.Origin = "mystore"
//
//	// Load implements [core.TokenBackend].
//	func (b *Backend) Load(ctx context.Context, key string) (core.Record, error) {
//		return backend.DoValue(ctx, origin.Op("load", key), func() (core.Record, error) {
//			return b.load(ctx, key)
//		})
//	}
//
// [Do] and [DoValue] refuse calls that must have no effect: an invalid key, a context
// that is done, a record without data or larger than the store can hold. They also turn
// every error into a [core.Error]. So load only asks the store.
//
// A backend uses the other parts if it needs them:
//
//   - [Naming] makes names of keys, for a store that doesn't accept all bytes.
//   - [Acquire] is a Leaser's Acquire, and [Origin.Coordinate] a ShouldRefresh.
//   - [TakeLease] makes a lease of an object, for a store that has conditional writes.
//   - [Wait] is a Watcher's Wait: the loop of a process that waits for another's refresh.
//     [Wakes] ends the wait as soon as the store tells of a change.
//   - [Keys] is a Lister's Keys.
//   - [Retry] calls again while the store says that others write at the same time.
//   - [PoolTurn] leaves connections to the holders of leases. [Turn] is for other resources.
//   - [LocalLeases] are leases inside a process.
//
// docs/writing-a-backend.md shows how a backend is written, and examples/bbolt is a whole
// one.
package backend

import "github.com/graphtoken/graphtoken/core"

// Coordinated is a backend with everything that processes need to refresh once and to wait
// cheaply. A backend lets the compiler check that:
//
//	var _ backend.Coordinated = (*Backend)(nil)
type Coordinated interface {
	core.TokenBackend
	core.Leaser
	core.Watcher
	core.Lister
	core.Pinger
}
