package main

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"regexp"

	"github.com/graphtoken/graphtoken/core"
)

// trouble is why a store can't be used, as far as the error of its client tells.
type trouble int

const (
	unclear     trouble = iota
	unreachable         // no server answers
	unproven            // the server doesn't accept the credentials
	noTable
	noContainer // no database or bucket
	noFile      // no file with the database, or no directory for it
	damaged     // the file isn't a database
	forbidden   // the user has too few rights
	full        // nothing more can be saved
	unusable    // the system refuses a file, for another reason
)

// The servers' codes, of errors that come after a store was opened:
// https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/,
// https://www.postgresql.org/docs/current/errcodes-appendix.html,
// https://mariadb.com/kb/en/mariadb-error-code-reference/,
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html.
var troubles = []struct {
	trouble
	told *regexp.Regexp
}{
	{unproven, regexp.MustCompile(`\b(?:WRONGPASS|NOAUTH|SQLSTATE 28\w{3}|InvalidAccessKeyId|SignatureDoesNotMatch|UnrecognizedClientException|InvalidSignatureException|ExpiredToken\w*|code = Unauthenticated|invalid_client|Error 1045|Error 1698)\b|get identity: get credentials`)},
	{noTable, regexp.MustCompile(`\b(?:SQLSTATE 42P01|Error 1146|no such table)\b`)},
	{noContainer, regexp.MustCompile(`\b(?:SQLSTATE 3D000|Error 1049|NoSuchBucket)\b`)},
	{damaged, regexp.MustCompile(`\b(?:file is not a database|database disk image is malformed|is a directory, and no database)\b`)},
	{full, regexp.MustCompile(`\b(?:[Nn]o space left on device|disk quota exceeded|database or disk is full|not enough space on the disk|SQLSTATE 53[01]00|Error 1021|OOM command not allowed)\b`)},
	{forbidden, regexp.MustCompile(`\b(?:NOPERM|SQLSTATE 42501|Error 1044|Error 1142|AccessDenied\w*|code = PermissionDenied)\b`)},
}

func troubleOf(err error) trouble {
	for _, t := range troubles {
		if t.told.MatchString(err.Error()) {
			return t.trouble
		}
	}
	var (
		network net.Error
		file    *fs.PathError // of which network may be a part: syscall.Errno
	)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return noFile
	case errors.Is(err, fs.ErrPermission), errors.Is(err, core.ErrReadOnly):
		return forbidden
	case errors.As(err, &file):
		return unusable
	case errors.As(err, &network), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return unreachable
	}
	return unclear
}

// advice is what to do about the trouble in a store of this kind.
func (t trouble) advice(kind string) string {
	switch t {
	case unreachable:
		return "Check the host and the port, whether the server runs, and the network and firewalls on the way to it."
	case unproven:
		return "Correct the user and the password, key or token: graphtoken help stores says where they come from."
	case noTable:
		return "The first graphtoken login or copy makes the table; or name the database that has it."
	case noContainer:
		if kind == "s3" {
			return "Make the bucket, or correct its name and region."
		}
		return "Make the database, or correct its name."
	case noFile:
		return "The first graphtoken login or copy makes the database, in a directory that is there; or correct the path."
	case damaged:
		return "Name another file, or restore this one from a copy; if it is of no use, move it away and sign in again."
	case forbidden:
		return "Give this user the right to read and write there; the store's README lists what is needed."
	case full:
		return "Make room there, or move the records to another store: graphtoken copy."
	case unusable:
		return "Check the path, and the disk on which it is."
	}
	return "Check the address, the credentials and the network; graphtoken help stores says where credentials come from."
}
