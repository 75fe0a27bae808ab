package core

import (
	"cmp"
	"log/slog"
	"time"
)

// StoreOption changes what NewStore makes.
type StoreOption func(*Store)

// WithCryptography stores records encrypted by m. Plain records are then
// refused with ErrDecrypt; see WithPlaintextReads.
func WithCryptography(m CryptographyManager) StoreOption {
	return func(s *Store) { s.cryptography = m }
}

// WithNamespace adds name to the associated data of every record, so that a
// record copied from another store under the same encryption key, a test
// system's say, is refused.
func WithNamespace(name string) StoreOption {
	return func(s *Store) { s.namespace = name }
}

// WithPlaintextReads accepts plain records under WithCryptography, to encrypt
// a store in place: whatever is saved is encrypted from then on.
func WithPlaintextReads() StoreOption {
	return func(s *Store) { s.plaintextReads = true }
}

// WithLogger logs refreshes and failures to l, never a token.
func WithLogger(l *slog.Logger) StoreOption {
	return func(s *Store) {
		if l != nil {
			s.log = l
		}
	}
}

// WithObserver tells o what the store does, for metrics and tracing.
func WithObserver(o Observer) StoreOption {
	return func(s *Store) { s.observer = o }
}

// WithClock replaces time.Now where tokens are judged.
func WithClock(now func() time.Time) StoreOption {
	return func(s *Store) {
		if now != nil {
			s.now = now
		}
	}
}

// WithRefreshWindow sets how long before its expiry a token is refreshed:
// window, plus a random part of jitter so that processes don't all come at
// once, but never more than half of the token's lifetime. The default is five
// minutes and one.
func WithRefreshWindow(window, jitter time.Duration) StoreOption {
	return func(s *Store) { s.tokens.window, s.tokens.jitter = max(window, 0), max(jitter, 0) }
}

// DefaultRefreshTimeout bounds one call of a refresh function.
const DefaultRefreshTimeout = 30 * time.Second

// WithRefreshTimeout bounds one call of a refresh function, which no caller's
// context does. Zero, or less, means DefaultRefreshTimeout.
func WithRefreshTimeout(d time.Duration) StoreOption {
	return func(s *Store) { s.refreshTimeout = cmp.Or(max(d, 0), DefaultRefreshTimeout) }
}

// WithLeaseTTL sets how long a lease outlives a holder that stopped renewing
// it. Zero, or less, means DefaultLeaseTTL.
func WithLeaseTTL(d time.Duration) StoreOption {
	return func(s *Store) { s.leaseTTL = cmp.Or(max(d, 0), DefaultLeaseTTL) }
}

// WithMaxStale makes a token source look at the stored record at least every
// d, so that a sign-out elsewhere is seen in that time. Zero, the default,
// trusts a token until it is due for refresh: a valid token costs no I/O.
func WithMaxStale(d time.Duration) StoreOption {
	return func(s *Store) { s.tokens.maxStale = d }
}

// WithMaxTokens bounds the access tokens kept in the process, 10,000 by
// default; those that expire first leave first.
func WithMaxTokens(n int) StoreOption {
	return func(s *Store) { s.tokens.limit = max(n, 1) }
}
