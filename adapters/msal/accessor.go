package msal

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/AzureAD/microsoft-authentication-library-for-go/apps/cache"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// Accessor is a [cache.ExportReplace] over a [core.Store], for a program with an MSAL
// client of its own:
//
//	accessor := msal.NewAccessor(store, msal.AccessorOptions{})
//	client, err := public.New(clientID, public.WithCache(accessor))
//
// MSAL Go asks its accessor for the whole cache before each call, and parses it. An
// Accessor gives a record to MSAL once, and again when it has changed. A change by this
// process is seen by the next call, another process's within [AccessorOptions.MaxAge]. An
// export of MSAL is merged with what others stored meanwhile. Tokens that can't be saved
// stay in the store, which saves them later (see [core.Store.Flush]).
//
// An accessor can't make one process refresh for all, because MSAL asks the provider by
// itself. A [Client] can. So every MSAL client refreshes for itself, and a provider with
// single-use refresh tokens may take that for theft.
//
// One Accessor may serve many MSAL clients. It is safe for concurrent use.
type Accessor struct {
	store  *core.Store
	record func(ctx context.Context, partitionKey string) string
	maxAge time.Duration
	caches sync.Map // from cacheID to *msalCache
}

var _ cache.ExportReplace = (*Accessor)(nil)

// AccessorOptions are the options of NewAccessor. With the zero value, all tokens of an
// application are in one record.
type AccessorOptions struct {
	// Record returns the key of the record for a call of MSAL with ctx and the partition
	// key that MSAL suggests. Nil means OneRecord(DefaultRecord).
	//
	// If a client's Record names several keys, it gets one record after the other. MSAL
	// reads them without a lock, so its calls must not run at the same time.
	Record func(ctx context.Context, partitionKey string) string

	// MaxAge is how long another process's change to a record may stay unnoticed while
	// the user's tokens are good. Once they are due for refresh, every call looks at the
	// record. Zero means DefaultMaxAge; if it is negative, every call looks.
	//
	// A call with claims, or for scopes that no stored token has, spends a refresh token
	// earlier. Another process may have spent that one within MaxAge.
	MaxAge time.Duration
}

const (
	// DefaultRecord is the key of the record if AccessorOptions.Record is nil.
	DefaultRecord = "msal"
	// DefaultMaxAge is what a zero AccessorOptions.MaxAge means.
	DefaultMaxAge = time.Second
)

// OneRecord is an [AccessorOptions.Record] that ignores MSAL's partition keys. A public
// client needs it, because it exports a sign-in without a partition key, and looks for it
// under the user's.
func OneRecord(key string) func(context.Context, string) string {
	return func(context.Context, string) string { return key }
}

// RecordPerPartition is an [AccessorOptions.Record] for confidential clients: each user,
// and each tenant's application tokens, have a record of their own. Its key is prefix and
// MSAL's partition key, which is the home account ID of a user, and "<client
// ID>_<tenant>_AppTokenCache" for the application.
//
// MSAL's Accounts and RemoveAccount name no partition, and fail. To sign a user out,
// delete the user's record.
func RecordPerPartition(prefix string) func(context.Context, string) string {
	return func(_ context.Context, partitionKey string) string {
		if partitionKey == "" {
			return ""
		}
		return prefix + partitionKey
	}
}

// NewAccessor returns an accessor of the store's records. It does no I/O.
func NewAccessor(store *core.Store, o AccessorOptions) *Accessor {
	if o.Record == nil {
		o.Record = OneRecord(DefaultRecord)
	}
	return &Accessor{store: store, record: o.Record, maxAge: cmp.Or(o.MaxAge, DefaultMaxAge)}
}

// Replace implements [cache.ExportReplace]. If the record can't be read, MSAL works with
// its former cache as long as the user's tokens are good.
func (a *Accessor) Replace(ctx context.Context, u cache.Unmarshaler, hints cache.ReplaceHints) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	c := a.cacheOf(u)
	if c.onBehalfOf {
		return nil
	}
	key, err := a.key(ctx, hints.PartitionKey)
	if err != nil {
		return fmt.Errorf("msal: replace: %w", err)
	}
	last := c.given(key)
	if left := last.goodFor(time.Now(), a.maxAge, hints.PartitionKey); left > 0 {
		if left < a.maxAge/2 {
			a.lookAhead(ctx, c, last)
		}
		return nil
	}
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, readTimeout)
		defer cancel()
	}
	if err := a.replace(ctx, c, u, key, hints.PartitionKey); err != nil {
		return fmt.Errorf("msal: replace: %w", err)
	}
	return nil
}

// readTimeout is for a call whose context has no deadline; MSAL demands one
// (cache.ExportReplace).
const readTimeout = 30 * time.Second

// replace looks at the record, and gives it to MSAL if MSAL has another one.
func (a *Accessor) replace(ctx context.Context, c *msalCache, u cache.Unmarshaler, key, partitionKey string) error {
	select {
	case c.looking <- struct{}{}:
		defer func() { <-c.looking }()
	case <-ctx.Done():
		return ctx.Err()
	}
	now, writes := time.Now(), core.Writes()
	last := c.given(key)
	if last.goodFor(now, a.maxAge, partitionKey) > 0 { // another call has looked
		return nil
	}
	seen := core.Absent
	if last != nil {
		seen = last.version
	}
	document, version, err := a.store.LoadChanged(ctx, key, seen)
	switch {
	case errors.Is(err, core.ErrNotFound):
		document, version = tokencache.New(), core.Absent
	case err != nil:
		if last == nil || now.UnixNano() >= last.dueAt(partitionKey) || ctx.Err() != nil {
			return err
		}
		document = nil // a store that is down is not asked again at each call
	}
	if document == nil || last != nil && version == core.Absent && last.version == core.Absent {
		c.last.Store(last.lookedAt(now, writes))
		return nil
	}
	data, err := document.Marshal()
	if err != nil {
		return err
	}
	c.last.Store(nil)
	if err := u.Unmarshal(data); err != nil {
		return err
	}
	given := &snapshot{key: key, version: version, document: document, due: &dueTimes{at: make(map[string]int64)}}
	c.last.Store(given.lookedAt(now, writes))
	return nil
}

// lookAhead looks at the record in the background, so that a client that calls often
// doesn't wait for the store. A record that has changed is given to MSAL by the next
// call.
func (a *Accessor) lookAhead(ctx context.Context, c *msalCache, last *snapshot) {
	select {
	case c.looking <- struct{}{}:
	default:
		return
	}
	go func() {
		defer func() { <-c.looking }()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
		defer cancel()
		now, writes := time.Now(), core.Writes()
		document, _, err := a.store.LoadChanged(ctx, last.key, last.version)
		next := last.lookedAt(now, writes)
		if document != nil || err != nil && !(errors.Is(err, core.ErrNotFound) && last.version == core.Absent) {
			next = last.unlooked()
		}
		c.last.CompareAndSwap(last, next)
	}()
}

// Export implements [cache.ExportReplace]. Tokens that MSAL added since its last Replace
// are added to the record, and those that it removed are removed. If the tokens could not
// be saved and the store keeps them, the error is nil; a sign-out that could not be saved
// is an error. If ctx ends first, Export returns its error and the tokens are saved all
// the same.
//
// A cache that was given another record is not exported. Neither is an empty one that
// MSAL's RemoveAccount can't have left: after a call on behalf of a user MSAL exports the
// wrong cache (base.Client.AuthResultFromToken in MSAL Go 1.10.1).
func (a *Accessor) Export(ctx context.Context, m cache.Marshaler, hints cache.ExportHints) error {
	if err := a.export(ctx, m, hints.PartitionKey); err != nil {
		return fmt.Errorf("msal: export: %w", err)
	}
	return nil
}

func (a *Accessor) export(ctx context.Context, m cache.Marshaler, partitionKey string) error {
	key, err := a.key(ctx, partitionKey)
	if err != nil {
		return err
	}
	c := a.cacheOf(m)
	last := c.last.Load()
	var base *tokencache.Cache
	switch {
	case last == nil:
	case last.key != key:
		return nil
	default:
		base = last.document
	}
	data, err := m.Marshal()
	if err != nil {
		return err
	}
	mine, err := tokencache.Parse(data)
	if err != nil {
		return err
	}
	if mine.IsEmpty() && (base == nil || hasApplications(base) && !hasApplications(mine)) {
		return nil
	}
	saved := make(chan error, 1)
	go func() {
		_, err := a.store.Merge(ctx, key, base, mine)
		if errors.Is(err, core.ErrRefreshedNotSaved) && !signsOut(base, mine) {
			err = nil
		}
		c.last.CompareAndSwap(last, last.unlooked()) // MSAL's cache is not what the record is now
		saved <- err
	}()
	select {
	case err := <-saved:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hasApplications reports whether a cache has metadata of an application. A sign-out
// leaves it (storage.Manager.RemoveAccount).
func hasApplications(c *tokencache.Cache) bool {
	data, err := c.Marshal()
	var document struct{ AppMetadata map[string]json.RawMessage }
	return err == nil && json.Unmarshal(data, &document) == nil && len(document.AppMetadata) > 0
}

// signsOut reports whether a user of base is none of mine.
func signsOut(base, mine *tokencache.Cache) bool {
	if base == nil {
		return false
	}
	left := make(map[string]bool)
	for _, account := range mine.Accounts() {
		left[account.HomeAccountID] = true
	}
	for _, account := range base.Accounts() {
		if !left[account.HomeAccountID] {
			return true
		}
	}
	return false
}

func (a *Accessor) key(ctx context.Context, partitionKey string) (string, error) {
	key := a.record(ctx, partitionKey)
	if key == "" {
		return "", fmt.Errorf("AccessorOptions.Record names no record for MSAL's partition key %q; see RecordPerPartition", core.Printable(partitionKey))
	}
	return key, nil
}
