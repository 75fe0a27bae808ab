package env

import (
	"context"
	"fmt"
	"runtime"

	"github.com/graphtoken/graphtoken/core"
)

// Save implements [core.TokenBackend].
func (b *Backend) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	if err := origin.Admit(ctx, "save", key); err != nil {
		return "", err
	}
	if b.readOnly {
		return "", origin.Fail("save", key, core.ErrReadOnly)
	}
	if len(rec.Data) == 0 {
		return "", origin.Fail("save", key, fmt.Errorf("%w: no data", core.ErrCorrupt))
	}
	value := encode(b.place, rec.Data)
	if len(value) > b.MaxSize() {
		return "", origin.Fail("save", key, fmt.Errorf("%w: a value of %d bytes, where the %d of NAME=value leave room for %d",
			core.ErrTooLarge, len(value), longestVariable(runtime.GOOS), b.MaxSize()))
	}
	name := b.name(key)
	version, err := b.place.swap(name, rec.Version, value)
	if err != nil {
		return "", origin.Fail("save", key, err)
	}
	b.place.leases.Touch(name)
	return version, nil
}

// swap stores value in the place of the version that the caller knows.
func (p *place) swap(name string, known core.Version, value string) (core.Version, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if known != core.AnyVersion {
		_, stored, err := p.current(name)
		if err != nil {
			return "", err
		}
		if known != stored {
			return "", core.ErrConflict
		}
	}
	if err := p.set(name, value); err != nil {
		return "", err
	}
	if p.saves == nil {
		p.saves = make(map[string]uint64)
	}
	p.saves[name]++
	return versionOf(value, p.saves[name]), nil
}

// MaxSize implements [core.SizeLimiter]: so much text fits under every key,
// the longest name included. Data that is not text takes a third more room.
//
// A dotenv file could hold more, and the processes it is loaded into could
// not.
func (b *Backend) MaxSize() int {
	return longestVariable(runtime.GOOS) - len(b.prefix) - longestName - len("=")
}

// longestVariable is how many bytes NAME=value can take in a process that is
// to start others.
func longestVariable(goos string) int {
	if goos == "windows" {
		return 32_767 - 1 // characters with the final NUL; never more of them than bytes
	}
	// Linux's MAX_ARG_STRLEN, with the final NUL. The other systems bound all
	// variables together, by 256 KiB and more.
	return 131_072 - 1
}
