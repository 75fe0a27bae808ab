package env

import (
	"context"
	"fmt"
	"runtime"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Save implements [core.TokenBackend].
func (b *Backend) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	return backend.DoValue(ctx, origin.SaveOp(key, rec, 0), func() (version core.Version, err error) {
		value := backend.EncodeText(rec.Data, b.place.holds)
		if len(value) > b.MaxSize() && !b.o.ReadOnly {
			return "", fmt.Errorf("%w: the value has %d bytes; NAME=value may have %d, so the limit for the value is %d",
				core.ErrTooLarge, len(value), longestVariable(runtime.GOOS), b.MaxSize())
		}
		err = b.change(key, func(name string) error {
			version, err = b.place.swap(name, rec.Version, value)
			return err
		})
		return version, err
	})
}

// swap stores value in place of the version that the caller knows. The caller holds mu.
func (p *place) swap(name string, known core.Version, value string) (core.Version, error) {
	_, stored, err := p.current(name)
	if err == nil && known != core.AnyVersion && known != stored {
		err = core.ErrConflict
	}
	if err == nil {
		err = p.set(name, value)
	}
	if err != nil {
		return "", err
	}
	p.saves[name]++
	return versionOf(value, p.saves[name]), nil
}

// MaxSize implements [core.SizeLimiter]: the bytes of text that fit under every key, also
// under the longest: about 128 KiB, and 32 KiB on Windows. Data that isn't text takes a
// third more room.
//
// A dotenv file could hold more, but not the variables of a process that loads the file.
func (b *Backend) MaxSize() int {
	return longestVariable(runtime.GOOS) - len(b.o.Prefix) - backend.LongestName - len("=")
}

// longestVariable is the largest number of bytes of NAME=value in a process that starts
// other processes.
func longestVariable(goos string) int {
	if goos == "windows" {
		return 32_767 - 1 // characters, with the final NUL; a text never has more characters than bytes
	}
	// Linux's MAX_ARG_STRLEN, with the final NUL. The other systems limit all variables
	// together, to 256 KiB or more.
	return 131_072 - 1
}

// Delete implements [core.TokenBackend].
func (b *Backend) Delete(ctx context.Context, key string) error {
	return backend.Do(ctx, origin.Op("delete", key), func() error {
		return b.change(key, b.place.unset)
	})
}

// change changes a variable, and wakes the waiters for it.
func (b *Backend) change(key string, do func(name string) error) error {
	if b.o.ReadOnly {
		return core.ErrReadOnly
	}
	name := b.name(key)
	b.place.mu.Lock()
	defer b.place.mu.Unlock()
	err := do(name)
	if err == nil {
		b.place.leases.Touch(name)
	}
	return err
}
