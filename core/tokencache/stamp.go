package tokencache

import (
	"hash/crc32"
	"strconv"
	"strings"
	"time"
)

// A refresh token of ours, and an account that signed in, have a stamp beside MSAL's
// last_modification_time, which is in whole seconds. The stamp is the time at which the
// request was sent, in nanoseconds, and a checksum of the new secret. Other libraries may
// put another secret into our entry and leave the stamp; they may leave our entry as it
// was; or they may leave it without members that they don't know:
//
//	"graphtoken_sent": "1700000000123456789.0f1e2d3c"

// newStamp makes the stamp of a secret.
func newStamp(sent time.Time, secret string) string {
	return strconv.FormatInt(sent.UnixNano(), 10) + "." + checksum(secret)
}

func checksum(secret string) string {
	return strconv.FormatUint(uint64(crc32.ChecksumIEEE([]byte(secret))), 16)
}

// stamp is when an entry was written, as far as that is known.
type stamp struct {
	at   int64 // in seconds
	nano int64 // in nanoseconds, if the entry is as Put wrote it, or 0
	own  bool  // the entry says so itself
}

// ours reports an entry that is as Put wrote it.
func (s stamp) ours() bool { return s.nano != 0 }

// stamps are the stamps of one group's entries.
type stamps struct {
	g      group
	issued map[string]int64 // by client ID, folded: when the last access token was
}

// of returns the stamp of an entry. A refresh token without a stamp has that of the
// access token that came with it: MSAL Go, Node and Java write none.
func (s *stamps) of(e *entry) stamp {
	var at stamp
	switch e.kind {
	case accessTokens:
		at.at = e.number(cachedAt)
	case idTokens:
		at.at = issuedAt(e.field[secret])
	default:
		at = e.sent()
	}
	at.own = at.at != 0 || e.kind != refreshTokens
	if !at.own {
		at.at = s.issuedTo(e.field[clientID])
	}
	return at
}

// sent reads last_modification_time and our stamp. MSAL Node leaves both of them at a
// secret of its own; then neither counts.
func (e *entry) sent() stamp {
	at := stamp{at: e.number(modifiedAt)}
	nanos, sum, ok := strings.Cut(e.field[sentAt], ".")
	nano, err := strconv.ParseInt(nanos, 10, 64)
	if !ok || err != nil || nano/int64(time.Second) != at.at {
		return at
	}
	if sum != checksum(e.field[secret]) {
		return stamp{}
	}
	at.nano = nano
	return at
}

func (s *stamps) issuedTo(client string) int64 {
	if s.issued == nil {
		s.issued = make(map[string]int64)
		for _, t := range s.g {
			if t.kind == accessTokens {
				of := fold(t.field[clientID])
				s.issued[of] = max(s.issued[of], t.number(cachedAt))
			}
		}
	}
	return s.issued[fold(client)]
}

// newer returns the one of two entries with the same identity that was written later, or
// b if that can't be told. If both have the same stamps, the two are of one record, and
// otherwise of two versions of it.
func newer(sa *stamps, a *entry, sb *stamps, b *entry) *entry {
	at, bt := sa.of(a), sb.of(b)
	if sa == sb {
		// Put replaces all entries with the identity of the new one. So an entry beside
		// it was written later, by a library with another key. The same holds for an
		// entry beside one of ours from which a library has removed the stamp.
		switch {
		case at.ours() && !bt.own || a.isStripped() && !b.isStripped():
			return b
		case bt.ours() && !at.own || b.isStripped() && !a.isStripped():
			return a
		}
	}
	switch {
	case at.at != bt.at:
		return later(a, b, at.at, bt.at)
	case at.ours() && bt.ours():
		return later(a, b, at.nano, bt.nano)
	case at.ours() != bt.ours(): // on a tie the foreign one is later
		if bt.ours() {
			return a
		}
		return b
	case at.own != bt.own: // the other has the stamp of a token that may not be its own
		if at.own {
			return a
		}
		return b
	case a.number(expiresOn) > b.number(expiresOn):
		return a
	case a.kind == accounts && a.field[username] != "" && b.field[username] == "":
		return a
	}
	return b
}

func later(a, b *entry, at, bt int64) *entry {
	if at > bt {
		return a
	}
	return b
}

// isStripped reports a refresh token that has no stamp, under a key like ours or MSAL
// Python's, which end in scopes. Both of us write a stamp. MSAL for Java removes members
// that it doesn't know from entries that it doesn't replace.
func (e *entry) isStripped() bool {
	if e.kind != refreshTokens || e.field[modifiedAt] != "" {
		return false
	}
	_, scopes, found := strings.Cut(fold(e.key), "-refreshtoken-"+fold(e.field[clientID])+"--")
	return found && scopes != "" && scopes != "-"
}
