package filesystem

import (
	"encoding/json"
	"io"
	"os"
	"time"
)

// claim is what a lease file says. It is written as JSON over the one before, so what
// follows the first value doesn't count.
type claim struct {
	Owner   string
	Expires moment
	TTL     time.Duration
	Locked  bool // the holder has the file locked; otherwise only the expiry counts
}

// claimOffset leaves out the byte that is locked on Windows, which no other process could
// read. claimSize is more than a claim takes.
const claimOffset, claimSize = 1, 1024

func writeClaim(f *os.File, c claim) error {
	return json.NewEncoder(io.NewOffsetWriter(f, claimOffset)).Encode(c)
}

// readClaim returns an expired claim for a file without one: its maker died before it
// wrote, or is about to write.
func readClaim(f *os.File) claim {
	var c claim
	if err := json.NewDecoder(io.NewSectionReader(f, claimOffset, claimSize)).Decode(&c); err != nil {
		return claim{}
	}
	return c
}
