// Package core keeps OAuth tokens for clients of Microsoft Graph: one refresh per
// expiry, whatever the number of processes, and no token lost.
//
// # For applications
//
// A [Store] keeps token caches in a backend. A [TokenSource] hands out access
// tokens of one query on one record:
//
//	store := core.NewStore(backend, core.WithCryptography(keyring))
//	source := store.TokenSource("ana", tokencache.Query{Scopes: []string{"User.Read"}}, app.Refresh)
//	token, err := source.Token(ctx)
//
// backend is one of the modules below backends/, and app.Refresh a [RefreshFunc],
// such as adapters/msal has. Package bearer attaches the token to requests, and
// package tokencache reads and writes the record itself.
//
// # How Token finds a token
//
// The store has a slot for each query of each record. Token looks into its slot: one
// atomic load. A token that is valid and not near its expiry is returned, and that is
// all. Near its expiry it is returned too, and an attempt to replace it starts in the
// background. Otherwise the caller joins the attempt for that query, or starts it.
//
// Attempts on one record run one at a time, since they share a refresh token. An
// attempt reads the record; a token there that will do goes into the slot. If there
// is none, the attempt takes the record's lease, or waits for whoever has it. It reads
// the record again, since another process may have refreshed it; calls the refresh
// function, detached from the caller; saves what that obtained by compare-and-swap,
// merged with what others saved meanwhile; and releases the lease.
//
// A save that fails keeps the tokens as unsaved, laid over every later read, until a
// save succeeds: see [Store.Flush]. A failure is remembered with back-off, for those
// whom it concerns: see [FailureScope].
//
// # For those who write backends
//
// A backend implements [TokenBackend], five methods, and the capabilities that its
// store can honour ([Leaser], [Watcher], [Lister], …). [Coordinate] is the one
// algorithm behind every ShouldRefresh. Module conformance has the suite that every
// backend passes, and docs/writing-a-backend.md shows the way.
package core
