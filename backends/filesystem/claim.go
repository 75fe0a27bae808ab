package filesystem

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// claim is the content of a lease file, in fields between spaces: the owner; the expiry
// in ns since 1970; "locked" or "unlocked"; which boot, or "-"; the expiry in ns since
// then; the ttl in ns. It is written under the guard, over the one before: one line
// counts.
type claim struct {
	owner   string
	expires moment
	ttl     time.Duration
	locked  bool // the holder has the file locked; otherwise only the expiry counts
}

// claimOffset leaves out the byte that is locked on Windows, which no other process could
// read.
const claimOffset = 1

func writeClaim(helpers *os.Root, at place, c claim) error {
	f, err := openHelper(helpers, filepath.Join(leases, at.as), os.O_WRONLY)
	if err != nil {
		return err
	}
	return errors.Join(writeClaimTo(f, c), f.Close())
}

func writeClaimTo(f *os.File, c claim) error {
	kind := "unlocked"
	if c.locked {
		kind = "locked  "
	}
	_, err := f.WriteAt(fmt.Appendf(nil, "%s %020d %s %s %020d %020d\n",
		c.owner, c.expires.wall.UnixNano(), kind, cmp.Or(c.expires.boot, "-"), c.expires.up, c.ttl), claimOffset)
	return err
}

// readClaim returns an expired claim for a file without one: its maker died before it
// wrote, or is about to write.
func readClaim(helpers *os.Root, at place) (claim, error) {
	f, err := openHelper(helpers, filepath.Join(leases, at.as), os.O_RDONLY)
	if errors.Is(err, errReplaced) {
		err = fs.ErrNotExist
	}
	if err != nil {
		return claim{}, err
	}
	defer f.Close()
	return claimIn(f), nil
}

func claimIn(f *os.File) claim {
	var buf [256]byte
	n, _ := f.ReadAt(buf[:], claimOffset)
	line, _, _ := strings.Cut(string(buf[:n]), "\n")
	var c claim
	var wall int64
	var kind string
	if _, err := fmt.Sscanf(line, "%s %d %s %s %d %d", &c.owner, &wall, &kind, &c.expires.boot, &c.expires.up, &c.ttl); err != nil {
		return claim{}
	}
	c.expires.wall, c.expires.boot, c.locked = time.Unix(0, wall), strings.TrimPrefix(c.expires.boot, "-"), kind == "locked"
	return c
}

// seenLongEnough limits, by this Backend's own clock, how long a claim is believed whose
// expiry only the wall clock tells. Nobody holds a lease longer than its ttl without
// writing a new claim, whatever was done to the clock since.
func (b *Backend) seenLongEnough(at place, c claim, now moment) bool {
	b.claims.mu.Lock()
	defer b.claims.mu.Unlock()
	seen, ok := b.claims.seen[at]
	if !ok || seen.owner != c.owner || !seen.expires.wall.Equal(c.expires.wall) {
		if b.claims.seen == nil || len(b.claims.seen) >= maxSeenClaims {
			b.claims.seen = make(map[place]seenClaim)
		}
		b.claims.seen[at] = seenClaim{c, now}
		return false
	}
	return now.up-seen.since.up >= c.ttl
}

// seenClaims are claims of other boots, with the time at which this Backend saw each
// first.
type seenClaims struct {
	mu   sync.Mutex
	seen map[place]seenClaim
}

type seenClaim struct {
	claim
	since moment
}

// maxSeenClaims limits them. A holder that is removed here is waited for again.
const maxSeenClaims = 1000
