// Package backend is for those who write backends: what every backend would
// otherwise write for itself.
//
// A backend gives its name once, and each of its methods is one operation:
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
// [Do] and [DoValue] refuse what must have no effect (an invalid key, a context that is
// done, a record without data or larger than the store takes), and make a [core.Error]
// of what went wrong. So load only asks the store.
//
// The other parts are there for those who need them: [Naming] names keys in a store
// that doesn't take all bytes; [Acquire] leaves no lease to a caller who is gone, and
// [Origin.Coordinate] is the whole of ShouldRefresh; [Wait] is the loop of those who
// wait for another's refresh, and [Wakes] wakes them; [Keys] lists; [LocalLeases] are
// the leases of a store that is the process itself.
//
// docs/writing-a-backend.md shows the way, and examples/bbolt is a whole backend.
package backend
