package backend

import (
	"context"
	"iter"
)

// Keys is the whole of a Lister's Keys: list calls yield for each key, and returns nil
// when yield returns false, or the error that ended the listing. While yield runs, list
// holds nothing that the caller's loop may need, such as a lock or the only connection.
//
//	func (b *Backend) Keys(ctx context.Context) iter.Seq2[string, error] {
//		return backend.Keys(ctx, origin.StoreOp("keys"), func(yield func(key string) bool) error {
//			for page, err := range b.pages(ctx) {
//				…
//			}
//		})
//	}
func Keys(ctx context.Context, op Op, list func(yield func(key string) bool) error) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		stopped := false
		err := Do(ctx, op, func() error {
			return list(func(key string) bool {
				stopped = stopped || !yield(key, nil)
				return !stopped
			})
		})
		if err != nil && !stopped {
			yield("", err)
		}
	}
}
