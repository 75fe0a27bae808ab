package filesystem

import (
	"encoding/json"
	"io"
	"os"
	"time"
)

// claim is the content of a lease file, or of a lock file whose existence is the lock. A
// claim is written as JSON over the claim before, so bytes after the first value don't
// count.
type claim struct {
	Owner   string // a lock has only this field
	Expires moment
	TTL     time.Duration
	Locked  bool // the holder has the file locked; otherwise only the expiry counts
}

// claimOffset leaves out the first byte, which TryLock locks on Windows, so that no other
// process could read it. claimSize is more than the size of a claim.
const claimOffset, claimSize = 1, 1024

func writeClaim(f *os.File, c claim) error {
	return json.NewEncoder(io.NewOffsetWriter(f, claimOffset)).Encode(c)
}

// readClaim returns an expired claim for a file without a claim: the process that made the
// file died before it wrote, or is about to write.
func readClaim(f *os.File) claim {
	var c claim
	if err := json.NewDecoder(io.NewSectionReader(f, claimOffset, claimSize)).Decode(&c); err != nil {
		return claim{}
	}
	return c
}

// openClaim opens a file of the helpers with a claim in it. It returns nil, and no claim,
// if there is no such file.
func openClaim(dir *os.Root, name string, flags int) (*os.File, claim, error) {
	f, err := openHelper(dir, name, flags)
	if err != nil {
		return nil, claim{}, notReplaced(err)
	}
	return f, readClaim(f), nil
}
