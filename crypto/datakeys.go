package crypto

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// KeyService wraps data keys with a key that never leaves a service: a key management
// service, a vault, a hardware module. The modules crypto/awskms, crypto/azurekeys,
// crypto/gcpkms and crypto/vaulttransit each have one. Implementations are safe for
// concurrent use, return when ctx ends, and retain none of the slices.
//
// A service reports three kinds of failure differently, because each needs another
// remedy:
//
//   - An error that wraps [core.ErrDecrypt], from Unwrap alone: the service's key didn't
//     wrap this data key. It also wraps [ErrUnknownKey] if the service can tell that
//     another key did.
//   - An error that wraps [ErrKeyDenied]: the service doesn't allow the use of the key.
//   - Any other error: the service can't be reached, or is overloaded.
type KeyService interface {
	// Wrap encrypts a data key of 32 bytes.
	Wrap(ctx context.Context, dataKey []byte) (WrappedKey, error)

	// Unwrap returns the data key that Wrap was given.
	Unwrap(ctx context.Context, wrapped WrappedKey) (dataKey []byte, err error)
}

// WrappedKey is a data key that a key service wrapped. It is no secret, and is stored in
// each record that the data key encrypts.
type WrappedKey struct {
	// KeyID names the service's key, with its version if it has versions: an ARN, a
	// resource's name. It has at most 1,024 bytes. Anybody may have written the KeyID in
	// a record: Unwrap never uses a key because KeyID names it.
	KeyID string

	// Data is what the service needs to unwrap the data key: 1 to 16,384 bytes.
	Data []byte
}

const maxKeyID, maxWrapped = 1 << 10, 16 << 10

// ErrKeyDenied: a key service answered, and doesn't allow the use of its key. The caller
// has no permission, the key is disabled, or there is no such key. Records are not
// damaged: they can be read once the service allows it.
var ErrKeyDenied = errors.New("the key service denies the key")

// DataKeyOptions says how long data keys are used. The zero value fits most programs.
type DataKeyOptions struct {
	// UseFor is how long a data key encrypts after it was made; zero means an hour. The
	// next data key costs one call of Wrap.
	UseFor time.Duration

	// Uses is how many records a data key encrypts; zero means a million. AES-GCM allows
	// at most 2³². With 1, each saved record has a data key of its own, and each save
	// costs one call of Wrap.
	Uses int64

	// KnownFor is how long a data key decrypts before the service is asked again; zero
	// means an hour. A program may need so long to notice that the service denies the
	// key.
	KnownFor time.Duration

	// MaxKnown is how many data keys are kept in memory, about 1 KB each; zero means
	// 4,096. Those that haven't been used for the longest time are removed first, and are
	// unwrapped again when they are needed.
	MaxKnown int

	// Timeout limits one call of the service, including the time for its credentials: a cloud's
	// command line may need several seconds for them. Zero means 10 seconds.
	Timeout time.Duration
}

const (
	defaultUseFor   = time.Hour
	defaultUses     = 1_000_000
	maxUses         = 1 << 32
	defaultKnownFor = time.Hour
	defaultMaxKnown = 4096
	defaultTimeout  = 10 * time.Second

	// outagePause is the time without calls to a service that could not be reached, if
	// the program can work without it.
	outagePause = 30 * time.Second
)

// DataKeys encrypts records with data keys that a key service wraps (envelope
// encryption). Each record contains its wrapped data key; the service's key stays in the
// service.
//
//	key, err := awskms.New(kms.NewFromConfig(cfg), "alias/tokens", awskms.Options{})
//	if err != nil {
//		return err
//	}
//	dataKeys, err := crypto.NewDataKeys(key, crypto.DataKeyOptions{})
//	if err != nil {
//		return err
//	}
//	store := core.NewStore(backend, core.WithCryptography(dataKeys))
//
// A process makes one data key, lets the service wrap it, and encrypts with it for a
// limited time and a limited number of records. A data key that the process knows
// decrypts without a call.
//
// If the service can't be reached, the process uses the data keys that it knows, if
// necessary longer than their time: it decrypts with them, and encrypts with the latest.
// So a process that has read a record can save that record's next tokens. A record whose
// data key the process doesn't know can't be read until the service is back. If the
// service answers [ErrKeyDenied], the data key is removed from memory.
//
// A record's place is bound as in a [Keyring], and so is the wrapped data key. DataKeys
// is safe for concurrent use, and prints no key.
type DataKeys struct {
	service KeyService
	options DataKeyOptions

	mu         sync.Mutex
	current    *dataKey            // the latest that was made here; nil at first
	known      map[string]*dataKey // by name, the current one among them
	wrapping   *keyCall            // the call of Wrap that callers wait for, if there is one
	unwrapping map[string]*keyCall // the calls of Unwrap under way, by name
	pause      time.Time           // until then Wrap isn't called, if a data key is known
	proven     bool                // the service has unwrapped a data key that it wrapped
}

var _ Rotator = (*DataKeys)(nil)

// dataKey is a data key that is known. Its fields below cipher are guarded by DataKeys.mu.
type dataKey struct {
	name   string // in the envelopes that it encrypts: see nameOf
	header string // of these envelopes
	keyID  string
	cipher func() cipher.AEAD // a function, as Keyring.ciphers is

	encrypts time.Time // until then it is the current one; zero for one that was not made here
	uses     int64     // by this process
	good     time.Time // until then the service isn't asked about it
	used     time.Time
}

func newDataKey(name, keyID string, aead cipher.AEAD) *dataKey {
	return &dataKey{name: name, header: ofDataKeys.header(name), keyID: keyID, cipher: func() cipher.AEAD { return aead }}
}

// keyCall is a call of the service that several callers wait for.
type keyCall struct {
	done chan struct{} // closed once the others are set
	key  *dataKey
	err  error
}

// NewDataKeys returns a manager whose data keys the service wraps. It makes no call.
func NewDataKeys(service KeyService, o DataKeyOptions) (*DataKeys, error) {
	if service == nil {
		return nil, errors.New("crypto: data keys need a key service")
	}
	if o.UseFor < 0 || o.Uses < 0 || o.KnownFor < 0 || o.MaxKnown < 0 || o.Timeout < 0 {
		return nil, errors.New("crypto: an option of data keys is negative")
	}
	if o.Uses > maxUses {
		return nil, fmt.Errorf("crypto: a data key for %d records: AES-GCM with random nonces is good for 2³² (%d)", o.Uses, int64(maxUses))
	}
	setDefault(&o.UseFor, defaultUseFor)
	setDefault(&o.Uses, defaultUses)
	setDefault(&o.KnownFor, defaultKnownFor)
	setDefault(&o.MaxKnown, defaultMaxKnown)
	setDefault(&o.Timeout, defaultTimeout)
	return &DataKeys{service: service, options: o, known: make(map[string]*dataKey), unwrapping: make(map[string]*keyCall)}, nil
}

func setDefault[T comparable](option *T, value T) {
	if *option == *new(T) {
		*option = value
	}
}

// Prepare makes a new data key, and lets the service wrap it. A program that calls it at
// its start finds out whether the service can be reached and its key be used, before
// tokens depend on that. After a rotation of the service's key, Prepare makes the manager
// use the new version at once; [Rewrap] calls it.
//
// Its errors are the service's: [ErrKeyDenied], or the reason why the service can't be
// reached.
func (d *DataKeys) Prepare(ctx context.Context) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	_, err := d.begin(ctx, func(ctx context.Context) (*dataKey, error) { return d.wrap(ctx, 0) }).wait(ctx)
	return err
}

// Encrypt implements [core.CryptographyManager]. It calls the service when a new data key is
// due. Its errors are the service's, and ctx's.
func (d *DataKeys) Encrypt(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	key, err := d.encryptionKey(ctx)
	if err != nil {
		return nil, err
	}
	return seal(key.cipher(), key.header, plaintext, associatedData), nil
}

// Decrypt implements [core.CryptographyManager]. It calls the service for a data key that
// it doesn't know. Errors that wrap [core.ErrDecrypt] concern the record; they also wrap
// [ErrUnknownKey] if another key of a service wrapped its data key. All others are those
// of the service and of ctx: [ErrKeyDenied], or the reason why the service can't be
// reached.
func (d *DataKeys) Decrypt(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	e, err := ofDataKeys.open(ciphertext)
	if err != nil {
		return nil, err
	}
	key, err := d.decryptionKey(ctx, e.name)
	if err != nil {
		return nil, err
	}
	return unseal(key.cipher(), e, associatedData)
}

// NeedsRotation reports whether a stored record isn't encrypted with a data key that the
// service's present key wrapped, in its present version. DataKeys learns the present key
// whenever the service wraps a data key. Before the first time, every record needs
// rotation.
func (d *DataKeys) NeedsRotation(ciphertext []byte) bool {
	d.mu.Lock()
	current := d.current
	d.mu.Unlock()
	if current == nil {
		return true
	}
	e, err := ofDataKeys.open(ciphertext)
	return err != nil || !bytes.HasPrefix(e.name, []byte(nameOfKey(current.keyID)))
}

// encryptionKey returns the current data key, or the next one if that is due.
func (d *DataKeys) encryptionKey(ctx context.Context) (*dataKey, error) {
	for {
		d.mu.Lock()
		now := time.Now()
		if key := d.current; key != nil && key.uses < d.options.Uses && now.Before(key.encrypts) {
			key.use(now)
			d.mu.Unlock()
			return key, nil
		}
		if now.Before(d.pause) {
			if key := d.latest(now); key != nil {
				d.mu.Unlock()
				return key, nil
			}
		}
		d.mu.Unlock()
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		key, err := d.nextKey(ctx)
		if key != nil || err != nil {
			return key, err
		}
	}
}

// nextKey lets the service wrap a new data key. Callers share the call, and then all look
// at the current key again, so nextKey returns nothing. If each record has a key of its
// own, callers don't share, so that many records can be saved at the same time.
func (d *DataKeys) nextKey(ctx context.Context) (*dataKey, error) {
	var call *keyCall
	if d.options.Uses == 1 {
		call = d.begin(ctx, d.wrapForOne)
	} else {
		d.mu.Lock()
		if d.wrapping == nil {
			d.wrapping = d.begin(ctx, d.wrapForAll)
		}
		call = d.wrapping
		d.mu.Unlock()
	}
	key, err := call.wait(ctx)
	if err == nil || errors.Is(err, ErrKeyDenied) || ctx.Err() != nil {
		return key, err
	}
	// The service can't be reached.
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	d.pause = now.Add(outagePause)
	if key := d.latest(now); key != nil {
		return key, nil
	}
	return nil, err
}

// latest returns the data key to encrypt with while the service can't be reached: the
// current one, or else the one that was used last. This counts as a use.
func (d *DataKeys) latest(now time.Time) *dataKey {
	key := d.current
	if key == nil || key.uses >= maxUses {
		key = nil
		for _, k := range d.known {
			if k.uses < maxUses && (key == nil || k.used.After(key.used)) {
				key = k
			}
		}
	}
	if key != nil {
		key.use(now)
	}
	return key
}

func (k *dataKey) use(now time.Time) { k.uses, k.used = k.uses+1, now }

// decryptionKey returns the data key of envelopes with this name.
func (d *DataKeys) decryptionKey(ctx context.Context, name []byte) (*dataKey, error) {
	d.mu.Lock()
	now := time.Now()
	if key := d.known[string(name)]; key != nil && now.Before(key.good) {
		key.used = now
		d.mu.Unlock()
		return key, nil
	}
	call := d.unwrapping[string(name)]
	if call == nil {
		if ctx.Err() != nil {
			d.mu.Unlock()
			return nil, context.Cause(ctx)
		}
		name := string(name)
		wrapped, err := parseName(name)
		if err != nil {
			d.mu.Unlock()
			return nil, err
		}
		call = d.begin(ctx, func(ctx context.Context) (*dataKey, error) { return d.unwrap(ctx, name, wrapped) })
		d.unwrapping[name] = call
	}
	d.mu.Unlock()
	return call.wait(ctx)
}

// begin calls f, which no longer depends on ctx: other callers may wait for the same
// result, and the service's answer is kept.
func (d *DataKeys) begin(ctx context.Context, f func(context.Context) (*dataKey, error)) *keyCall {
	call := &keyCall{done: make(chan struct{})}
	go func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.options.Timeout)
		defer cancel()
		defer close(call.done)
		call.key, call.err = f(ctx)
	}()
	return call
}

func (c *keyCall) wait(ctx context.Context) (*dataKey, error) {
	select {
	case <-c.done:
		return c.key, c.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// wrapForAll is wrap for callers that share the call.
func (d *DataKeys) wrapForAll(ctx context.Context) (*dataKey, error) {
	_, err := d.wrap(ctx, 0)
	d.mu.Lock()
	d.wrapping = nil
	d.mu.Unlock()
	return nil, err
}

// wrapForOne is wrap for a caller that encrypts one record with the key.
func (d *DataKeys) wrapForOne(ctx context.Context) (*dataKey, error) { return d.wrap(ctx, 1) }

// wrap makes a data key, and makes it the current one. uses is the number of uses that
// belong to the caller.
func (d *DataKeys) wrap(ctx context.Context, uses int64) (*dataKey, error) {
	var secret [keySize]byte
	rand.Read(secret[:]) // never fails
	wrapped, err := d.serviceWrap(ctx, secret[:])
	if err == nil {
		err = d.prove(ctx, secret[:], wrapped)
	}
	if err != nil {
		return nil, fmt.Errorf("crypto: making a data key: %w", err)
	}
	aead, err := newAEAD(secret)
	if err != nil {
		return nil, fmt.Errorf("crypto: %w", err)
	}
	now := time.Now()
	key := newDataKey(nameOf(wrapped), wrapped.KeyID, aead)
	key.uses, key.used = uses, now
	key.encrypts, key.good = now.Add(d.options.UseFor), now.Add(d.options.KnownFor)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.current, d.pause = key, time.Time{}
	d.keep(key)
	return key, nil
}

// prove checks the first data key that the service wrapped, by unwrapping it again. A
// process that may only wrap would write records that nobody has read yet, and that it
// can't read itself after a restart.
func (d *DataKeys) prove(ctx context.Context, secret []byte, wrapped WrappedKey) error {
	if n := len(wrapped.KeyID); n == 0 || n > maxKeyID {
		return fmt.Errorf("the key service names its key with %d bytes; 1 to %d are possible", n, maxKeyID)
	}
	if n := len(wrapped.Data); n == 0 || n > maxWrapped {
		return fmt.Errorf("the key service wrapped the data key in %d bytes; 1 to %d are possible", n, maxWrapped)
	}
	d.mu.Lock()
	proven := d.proven
	d.mu.Unlock()
	if proven {
		return nil
	}
	again, err := d.serviceUnwrap(ctx, wrapped)
	if errors.Is(err, core.ErrDecrypt) {
		return fmt.Errorf("the key service doesn't unwrap the data key that it has just wrapped: %v", err) // no record is damaged
	}
	if err != nil {
		return fmt.Errorf("the key service wraps data keys but doesn't unwrap them, so nobody could read a record: %w", err)
	}
	if subtle.ConstantTimeCompare(again, secret) != 1 {
		return errors.New("the key service unwraps another data key than it wrapped")
	}
	d.mu.Lock()
	d.proven = true
	d.mu.Unlock()
	return nil
}

// unwrap asks the service for the data key of envelopes with this name. If the service
// can't be reached, a known data key stays known.
func (d *DataKeys) unwrap(ctx context.Context, name string, wrapped WrappedKey) (*dataKey, error) {
	secret, err := d.serviceUnwrap(ctx, wrapped)
	switch {
	case err == nil && len(secret) == 0: // as an SDK understands a proxy's answer
		err = errors.New("the answer of the key service has no data key in it: a proxy may have sent it")
	case err == nil && len(secret) != keySize:
		err = malformed(fmt.Sprintf("its data key has %d bytes instead of %d", len(secret), keySize))
	}
	var aead cipher.AEAD
	if err == nil {
		aead, err = newAEAD([keySize]byte(secret))
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.unwrapping, name)
	now, key := time.Now(), d.known[name]
	switch {
	case err == nil:
		if key == nil {
			key = newDataKey(name, wrapped.KeyID, aead)
		}
		key.good, key.used = now.Add(d.options.KnownFor), now
		d.keep(key)
		return key, nil
	case errors.Is(err, core.ErrDecrypt), errors.Is(err, ErrKeyDenied):
		delete(d.known, name)
		if d.current == key {
			d.current = nil
		}
	case key != nil:
		key.good, key.used = now.Add(outagePause), now
		return key, nil
	}
	return nil, fmt.Errorf("crypto: the data key under %s: %w", core.Printable(wrapped.KeyID), err)
}

// serviceWrap and serviceUnwrap call the service. They run in goroutines of DataKeys, in
// which no caller could recover from a panic, so a panic becomes an error.
func (d *DataKeys) serviceWrap(ctx context.Context, secret []byte) (w WrappedKey, err error) {
	defer recovered(&err)
	return d.service.Wrap(ctx, secret)
}

func (d *DataKeys) serviceUnwrap(ctx context.Context, w WrappedKey) (secret []byte, err error) {
	defer recovered(&err)
	return d.service.Unwrap(ctx, w)
}

// recovered makes an error of a panic. Of a value that is none of the runtime's own, which
// may contain a key, it tells the type. (A stack shows the arrays that functions were given, so
// keys are given to them as slices.)
func recovered(err *error) {
	switch v := recover().(type) {
	case nil:
	case runtime.Error:
		*err = fmt.Errorf("the key service's code panicked: %w\n%s", v, debug.Stack())
	default:
		*err = fmt.Errorf("the key service's code panicked with a value of type %T\n%s", v, debug.Stack())
	}
}

// keep stores a data key in memory. If there are too many, it removes those that haven't
// been used for the longest time.
func (d *DataKeys) keep(key *dataKey) {
	d.known[key.name] = key
	for len(d.known) > d.options.MaxKnown {
		oldest := key
		for _, k := range d.known {
			if k != d.current && (oldest == key || k.used.Before(oldest.used)) {
				oldest = k
			}
		}
		delete(d.known, oldest.name)
	}
}

// nameOfKey is the beginning of the names of all data keys under one key of a service.
func nameOfKey(id string) string { return encoding.EncodeToString([]byte(id)) + ":" }

// nameOf is the name of a data key in envelopes, and the wrapped data key itself.
func nameOf(w WrappedKey) string { return nameOfKey(w.KeyID) + encoding.EncodeToString(w.Data) }

// parseName returns what nameOf was given.
func parseName(name string) (WrappedKey, error) {
	id, data, _ := strings.Cut(name, ":")
	keyID, errID := decode([]byte(id))
	wrapped, errData := decode([]byte(data))
	if errID != nil || errData != nil || len(keyID) > maxKeyID || len(wrapped) > maxWrapped {
		return WrappedKey{}, malformed("its envelope has a damaged data key")
	}
	return WrappedKey{KeyID: string(keyID), Data: wrapped}, nil
}

// String names the service's key, once a data key has been wrapped.
func (d *DataKeys) String() string {
	if d == nil {
		return "[data keys nil]"
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current == nil {
		return "[data keys]"
	}
	return "[data keys under " + core.Printable(d.current.keyID) + "]"
}

// Format prints String, whatever the verb.
func (d *DataKeys) Format(f fmt.State, _ rune) { io.WriteString(f, d.String()) }

// MarshalText returns String.
func (d *DataKeys) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// LogValue returns String.
func (d *DataKeys) LogValue() slog.Value { return slog.StringValue(d.String()) }
