package core

import (
	"cmp"
	"log/slog"
	"time"
)

// StoreOption changes a Store that NewStore makes.
type StoreOption func(*Store)

// longestOption stands for every longer time, such as the largest Duration for "no limit".
// A sum of such times, or a date that is so far away, doesn't overflow.
const longestOption = 10 * 365 * 24 * time.Hour

// within returns d as an option's value: not negative, and not too long to add.
func within(d time.Duration) time.Duration { return min(max(d, 0), longestOption) }

// WithCryptography encrypts records with m. The store then refuses plain records with
// ErrDecrypt; see WithPlaintextReads.
func WithCryptography(m CryptographyManager) StoreOption {
	return func(s *Store) { s.cryptography = m }
}

// WithNamespace adds name to the associated data of every record. So the store refuses a
// record that was copied from a store with another namespace, even with the same
// encryption key: from a test system, for example.
func WithNamespace(name string) StoreOption {
	return func(s *Store) { s.namespace = name }
}

// WithPlaintextReads accepts plain records under WithCryptography, so that a store can be
// encrypted in place: each record is encrypted when it is saved the next time.
func WithPlaintextReads() StoreOption {
	return func(s *Store) { s.plaintextReads = true }
}

// WithLogger logs refreshes and failures to l. It never logs a token.
func WithLogger(l *slog.Logger) StoreOption {
	return func(s *Store) {
		if l != nil {
			s.log = l
		}
	}
}

// WithObserver reports the store's operations to o, for metrics and tracing.
func WithObserver(o Observer) StoreOption {
	return func(s *Store) { s.observer = o }
}

// WithClock replaces time.Now for all decisions about tokens.
func WithClock(now func() time.Time) StoreOption {
	return func(s *Store) {
		if now != nil {
			s.now = now
		}
	}
}

// WithRefreshWindow sets how long before its expiry a token is refreshed: window, plus a
// random part of jitter, so that processes don't refresh all at once. It is never more
// than half of the token's lifetime. The default is five minutes and one minute.
func WithRefreshWindow(window, jitter time.Duration) StoreOption {
	return func(s *Store) { s.tokens.window, s.tokens.jitter = within(window), within(jitter) }
}

// DefaultRefreshTimeout limits one call of a refresh function.
const DefaultRefreshTimeout = 30 * time.Second

// WithRefreshTimeout limits one call of a refresh function, which isn't limited by a
// caller's context. Zero or less means DefaultRefreshTimeout.
func WithRefreshTimeout(d time.Duration) StoreOption {
	return func(s *Store) { s.refreshTimeout = cmp.Or(within(d), DefaultRefreshTimeout) }
}

// WithLeaseTTL sets how long a lease lasts after its holder stopped renewing it. Zero or
// less means DefaultLeaseTTL.
func WithLeaseTTL(d time.Duration) StoreOption {
	return func(s *Store) { s.leaseTTL = cmp.Or(within(d), DefaultLeaseTTL) }
}

// WithMaxStale makes a token source read the stored record at least every d. So a
// sign-out by another process is noticed in that time. Zero, the default, means that a
// token is trusted until it is due for refresh: a valid token costs no I/O.
func WithMaxStale(d time.Duration) StoreOption {
	return func(s *Store) { s.tokens.maxStale = within(d) }
}

// WithMaxTokens limits the access tokens that are kept in the process: 10,000 by default.
// The tokens that expire first are removed first.
func WithMaxTokens(n int) StoreOption {
	return func(s *Store) { s.tokens.limit = max(n, 1) }
}
