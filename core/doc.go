// Package core keeps OAuth tokens for clients of Microsoft Graph: one refresh per
// expiry, whatever the number of processes, and no token is lost.
//
// # For applications
//
// A [Store] keeps token caches in a backend. A [TokenSource] returns access tokens
// for one query on one record:
//
//	store := core.NewStore(backend, core.WithCryptography(keyring))
//	source := store.TokenSource("ana", tokencache.Query{Scopes: []string{"User.Read"}}, refresh)
//	token, err := source.Token(ctx)
//
// The backend comes from a module below backends/, and refresh is a [RefreshFunc]:
// module account makes one when it signs a user in, and modules adapters/msal,
// adapters/azcore and adapters/oauth2 have others. Package bearer attaches the token
// to requests. Package tokencache reads and writes the record itself, and
// [Store.Update] edits a record.
//
// Before a program ends, it calls [Store.Flush].
//
// # How Token finds a token
//
// A store has a slot for each query of each record. Token reads its slot, which is
// one atomic load. If the slot has a token that is valid and not near its expiry,
// Token returns it, and that is all. If the token is near its expiry, Token returns
// it too, and an attempt to replace it starts in the background. If there is no valid
// token, the caller waits for the attempt of that query, or starts it.
//
// Attempts on one record run one at a time, because they use the same refresh token.
// An attempt
//
//  1. reads the record. If the record has a token that is good enough, the token
//     goes into the slot, and the attempt ends;
//  2. takes the record's lease, or waits while another process has it;
//  3. reads the record again, because another process may have refreshed it;
//  4. calls the refresh function, detached from the caller's cancellation;
//  5. saves the new tokens by compare-and-swap, merged with what other processes
//     saved meanwhile;
//  6. releases the lease.
//
// If the save fails, the tokens are kept as unsaved: the store lays them over every
// later read of the record, until a save succeeds (see [Store.Flush]). A failure is
// remembered with back-off, and concerns a request, a user, the provider or the store
// (see [FailureScope]).
//
// # For adapters
//
// A refresh function gets a record's cache and leaves fresh tokens in it. It asks
// [Refresh.LeaseHeld] right before its request, and returns [ErrReauthRequired] when
// the user has to sign in again. [TokenSource.Shared] returns a token without a copy.
//
// # For backends
//
// A backend implements [TokenBackend], five methods, and the capabilities that its
// store can honour: [Leaser], [Watcher], [Lister] and others. [Coordinate] is the
// algorithm of every ShouldRefresh. Package backend, below this one, has the parts that
// every backend needs. Module conformance has the suite that every
// backend passes, and docs/writing-a-backend.md shows how one is written.
//
// # For encryption
//
// A [CryptographyManager] encrypts records before they are stored. Module crypto has
// the usual one, a keyring.
package core
