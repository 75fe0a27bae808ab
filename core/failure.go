package core

import (
	"context"
	"errors"
	"net"
	"time"
)

// FailureScope says which refreshes a failure concerns. While the failure is remembered,
// these refreshes are not tried.
//
// An error of a [RefreshFunc] tells its scope by a method
//
//	FailureScope() core.FailureScope
//
// and how long the provider asks clients to wait by a method
//
//	RetryAfter() time.Duration
//
// (RFC 9110 section 10.2.3). Both are found by errors.As. An error without a FailureScope
// is FailureOfProvider if it has a RetryAfter or comes from the network (a net.Error, a
// context's deadline), and FailureOfRequest otherwise.
type FailureScope uint8

const (
	// FailureOfRequest: the provider, or the refresh function itself, refused this query
	// (invalid_scope, consent_required, a claims challenge). Every other query of the
	// record is still refreshed.
	FailureOfRequest FailureScope = iota + 1

	// FailureOfUser: the provider refused the user's refresh token (invalid_grant). No
	// query of this user and client can be refreshed until the record has another refresh
	// token. Other users of the record are still refreshed.
	FailureOfUser

	// FailureOfProvider: the provider can't be reached, is overloaded, or refuses the
	// application itself (invalid_client). The record's queries for another provider
	// (tokencache.Query.Environment) are still refreshed.
	FailureOfProvider

	// FailureOfStore: the backend can't be reached, or the record can't be read.
	FailureOfStore
)

func (s FailureScope) String() string {
	switch s {
	case FailureOfRequest:
		return "request"
	case FailureOfUser:
		return "user"
	case FailureOfProvider:
		return "provider"
	case FailureOfStore:
		return "store"
	}
	return "unknown"
}

// scopeOf returns the scope of a refresh function's error.
func scopeOf(err error) FailureScope {
	var scoped interface{ FailureScope() FailureScope }
	if errors.As(err, &scoped) {
		if scope := scoped.FailureScope(); scope != 0 {
			return scope
		}
	}
	if _, told := retryAfterOf(err); told {
		return FailureOfProvider
	}
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, context.DeadlineExceeded) {
		return FailureOfProvider
	}
	return FailureOfRequest
}

// retryAfterOf returns how long the provider asked clients to wait, if the error says so.
func retryAfterOf(err error) (d time.Duration, told bool) {
	var e interface{ RetryAfter() time.Duration }
	if errors.As(err, &e) {
		d = e.RetryAfter()
	}
	return d, d > 0
}
