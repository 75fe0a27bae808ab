package crypto_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/conformance"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/crypto"
)

// dataKeysUnderTest are DataKeys with what the suite may ask of them.
type dataKeysUnderTest struct {
	*crypto.DataKeys
	options crypto.DataKeyOptions
}

func (u dataKeysUnderTest) OtherKey(t conformance.T) core.CryptographyManager {
	return newDataKeysUnderTest(t, "other", u.options)
}

func (u dataKeysUnderTest) IsWrongKey(err error) bool { return errors.Is(err, crypto.ErrUnknownKey) }

func newDataKeysUnderTest(t conformance.T, name string, o crypto.DataKeyOptions) core.CryptographyManager {
	d, err := crypto.NewDataKeys(newService(name), o)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return dataKeysUnderTest{d, o}
}

func TestDataKeysConform(t *testing.T) {
	for name, o := range map[string]crypto.DataKeyOptions{
		"one data key for a process":           {},
		"one data key for each record":         {Uses: 1},
		"a data key that is forgotten at once": {Uses: 2, MaxKnown: 1, KnownFor: 1},
	} {
		t.Run(name, func(t *testing.T) {
			conformance.RunCryptography(t, conformance.CryptographyHarness{
				New: func(t conformance.T) core.CryptographyManager { return newDataKeysUnderTest(t, "mine", o) },
			})
		})
	}
}

func save(t testing.TB, d *crypto.DataKeys, text string) []byte {
	t.Helper()
	stored, err := d.Encrypt(t.Context(), []byte(text), []byte("ana"))
	if err != nil {
		t.Fatal(err)
	}
	return stored
}

func wantLoad(t testing.TB, d *crypto.DataKeys, stored []byte, text string) {
	t.Helper()
	if got, err := d.Decrypt(t.Context(), stored, []byte("ana")); err != nil || string(got) != text {
		t.Errorf("Decrypt = %q, %v; want %q", got, err, text)
	}
}

// headerOf returns an envelope's beginning up to its body, which names the data key.
func headerOf(stored []byte) string {
	parts := strings.SplitAfterN(string(stored), ":", 5)
	return strings.Join(parts[:4], "")
}

func wantCalls(t testing.TB, s *service, wraps, unwraps int) {
	t.Helper()
	if got := s.calls(); got != [2]int{wraps, unwraps} {
		t.Errorf("%d calls of Wrap and %d of Unwrap, want %d and %d", got[0], got[1], wraps, unwraps)
	}
}

func TestAProcessHasOneDataKeyWrappedForManyRecords(t *testing.T) {
	s := newService("mine")
	d := dataKeys(t, s, crypto.DataKeyOptions{})
	for i := range 100 {
		wantLoad(t, d, save(t, d, fmt.Sprint(i)), fmt.Sprint(i))
	}
	wantCalls(t, s, 1, 1) // the first data key is unwrapped once, to see that it can be
}

func TestALoadCallsTheServiceOnceForADataKey(t *testing.T) {
	s := newService("mine")
	writer, reader := dataKeys(t, s, crypto.DataKeyOptions{}), dataKeys(t, s, crypto.DataKeyOptions{})
	one, two := save(t, writer, "one"), save(t, writer, "two")
	wantCalls(t, s, 1, 1)
	for range 10 {
		wantLoad(t, reader, one, "one")
		wantLoad(t, reader, two, "two")
	}
	wantCalls(t, s, 1, 2)
}

func TestManyWhoNeedADataKeyShareOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService("mine")
		stored := save(t, dataKeys(t, s, crypto.DataKeyOptions{}), "one")
		slow := slowly{s}
		d := dataKeys(t, slow, crypto.DataKeyOptions{})
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { wantLoad(t, d, stored, "one") })
			all.Go(func() { save(t, d, "two") })
		}
		all.Wait()
		wantCalls(t, s, 2, 3) // the writer's two, the reader's unwrap, and the two for the reader's own data key
	})
}

// slowly is a key service whose calls take a second.
type slowly struct{ crypto.KeyService }

func (s slowly) Wrap(ctx context.Context, dataKey []byte) (crypto.WrappedKey, error) {
	time.Sleep(time.Second)
	return s.KeyService.Wrap(ctx, dataKey)
}

func (s slowly) Unwrap(ctx context.Context, w crypto.WrappedKey) ([]byte, error) {
	time.Sleep(time.Second)
	return s.KeyService.Unwrap(ctx, w)
}

func TestADataKeyEncryptsForABoundedTimeAndNumberOfRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService("mine")
		d := dataKeys(t, s, crypto.DataKeyOptions{UseFor: time.Hour, Uses: 10})
		headers := map[string]int{}
		header := func() string {
			stored := save(t, d, "text")
			return headerOf(stored)
		}
		for range 25 {
			headers[header()]++
		}
		if len(headers) != 3 {
			t.Errorf("25 records have %d data keys, want 3", len(headers))
		}
		wantCalls(t, s, 3, 1) // only the first is unwrapped, to see that it can be
		for h, n := range headers {
			if n > 10 {
				t.Errorf("a data key encrypted %d records: %s", n, h)
			}
		}
		last := header()
		time.Sleep(time.Hour - time.Nanosecond)
		if header() != last {
			t.Error("the data key was replaced before its hour was over")
		}
		time.Sleep(time.Nanosecond)
		if header() == last {
			t.Error("the data key encrypts after its hour")
		}
	})
}

func TestWithOneUseEachRecordHasADataKeyOfItsOwn(t *testing.T) {
	s := newService("mine")
	d := dataKeys(t, s, crypto.DataKeyOptions{Uses: 1})
	if err := d.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	seen := map[string]bool{}
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				stored := save(t, d, "text")
				mu.Lock()
				seen[headerOf(stored)] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if len(seen) != 160 {
		t.Errorf("160 records have %d data keys", len(seen))
	}
	if calls := s.calls(); calls[0] != 160 {
		t.Errorf("%d calls of Wrap, want 160: the prepared one is used", calls[0])
	}
}

func TestAServiceThatIsDownServesWhatIsKnown(t *testing.T) {
	for name, fault := range map[string]func(*service){
		"it refuses connections": func(s *service) { s.set(errDown, false) },
		"it doesn't answer":      func(s *service) { s.set(nil, true) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newService("mine")
				d := dataKeys(t, s, crypto.DataKeyOptions{})
				stranger := save(t, dataKeys(t, s, crypto.DataKeyOptions{}), "unknown")
				stored := save(t, d, "known")
				fault(s)
				for range 3 {
					time.Sleep(5 * time.Hour)
					wantLoad(t, d, stored, "known")
					stored = save(t, d, "known")
					wantLoad(t, d, stored, "known")
				}
				before := s.calls()
				for range 100 {
					wantLoad(t, d, stored, "known")
					save(t, d, "more")
				}
				if s.calls() != before {
					t.Errorf("while the service is down, it is called for each record: %v, then %v", before, s.calls())
				}
				if _, err := d.Decrypt(t.Context(), stranger, []byte("ana")); err == nil || errors.Is(err, core.ErrDecrypt) || errors.Is(err, crypto.ErrKeyDenied) {
					t.Errorf("a record whose data key isn't known: %v, want the service's error", err)
				}
				s.set(nil, false)
				time.Sleep(time.Minute)
				wantLoad(t, d, stranger, "unknown")
				again := save(t, d, "after")
				if headerOf(again) == headerOf(stored) {
					t.Error("the old data key still encrypts after the service is back")
				}
			})
		})
	}
}

// A process begins, reads a record, and refreshes its token while the service is down: what
// the provider gave must be saved, although this process never had a data key wrapped.
func TestTokensAreSavedUnderTheDataKeyWithWhichTheRecordWasRead(t *testing.T) {
	for _, uses := range []int64{0, 1} {
		t.Run(fmt.Sprintf("Uses %d", uses), func(t *testing.T) {
			s := newService("mine")
			stored := save(t, dataKeys(t, s, crypto.DataKeyOptions{}), "before")
			d := dataKeys(t, s, crypto.DataKeyOptions{Uses: uses})
			wantLoad(t, d, stored, "before")
			s.set(errDown, false)
			after := save(t, d, "after")
			wantLoad(t, d, after, "after")
			s.set(nil, false)
			wantLoad(t, dataKeys(t, s, crypto.DataKeyOptions{}), after, "after")
		})
	}
}

func TestWithoutAnyDataKeyASaveSaysWhyTheServiceCantBeReached(t *testing.T) {
	s := newService("mine")
	s.set(errDown, false)
	d := dataKeys(t, s, crypto.DataKeyOptions{})
	if _, err := d.Encrypt(t.Context(), []byte("text"), []byte("ana")); !errors.Is(err, errDown) {
		t.Errorf("Encrypt = %v, want %v", err, errDown)
	}
	if err := d.Prepare(t.Context()); !errors.Is(err, errDown) {
		t.Errorf("Prepare = %v, want %v", err, errDown)
	}
	s.set(nil, false)
	wantLoad(t, d, save(t, d, "text"), "text")
}

func TestADeniedKeyIsForgottenWhenTheServiceIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService("mine")
		d := dataKeys(t, s, crypto.DataKeyOptions{KnownFor: time.Hour, UseFor: 10 * time.Hour})
		stored := save(t, d, "text")
		s.set(fmt.Errorf("%w: disabled", crypto.ErrKeyDenied), false)
		time.Sleep(time.Hour - time.Nanosecond)
		wantLoad(t, d, stored, "text")
		time.Sleep(time.Nanosecond)
		if _, err := d.Decrypt(t.Context(), stored, []byte("ana")); !errors.Is(err, crypto.ErrKeyDenied) || errors.Is(err, core.ErrDecrypt) {
			t.Errorf("Decrypt = %v, want ErrKeyDenied alone", err)
		}
		if _, err := d.Encrypt(t.Context(), []byte("text"), []byte("ana")); !errors.Is(err, crypto.ErrKeyDenied) {
			t.Errorf("Encrypt = %v, want ErrKeyDenied", err)
		}
		s.set(errDown, false)
		if _, err := d.Decrypt(t.Context(), stored, []byte("ana")); !errors.Is(err, errDown) {
			t.Errorf("a denied data key is still used while the service is down: %v", err)
		}
		s.set(nil, false)
		wantLoad(t, d, stored, "text")
	})
}

// aCache is a token cache with a refresh token.
func aCache(t *testing.T, secret string) *tokencache.Cache {
	t.Helper()
	c := tokencache.New()
	err := c.Put(tokencache.TokenResponse{
		AccessToken: secret, RefreshToken: secret, Scope: "User.Read", ExpiresIn: 3600, ClientID: "client", HomeAccountID: "ana.tenant", Sent: time.Now(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// wantStored expects that a process that begins now reads the refresh token from the store.
func wantStored(t *testing.T, b core.TokenBackend, s *service, secret string) {
	t.Helper()
	c, _, err := core.NewStore(b, core.WithCryptography(dataKeys(t, s, crypto.DataKeyOptions{}))).Load(t.Context(), "ana")
	if err != nil {
		t.Fatal(err)
	}
	if token, ok := c.RefreshToken(tokencache.Query{HomeAccountID: "ana.tenant"}); !ok || token.Secret.Reveal() != secret {
		t.Errorf("the stored refresh token is not %s", secret)
	}
}

func TestNoTokenIsLostWhenTheServiceFailsInTheMiddleOfARefresh(t *testing.T) {
	for name, c := range map[string]struct {
		fault error
		want  error // of the refresh
	}{
		"it can't be reached": {errDown, nil},
		"it denies the key":   {fmt.Errorf("%w: disabled", crypto.ErrKeyDenied), core.ErrRefreshedNotSaved},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, b := newService("mine"), newTable()
				if _, err := core.NewStore(b, core.WithCryptography(dataKeys(t, s, crypto.DataKeyOptions{}))).Save(t.Context(), "ana", aCache(t, "first"), core.Absent); err != nil {
					t.Fatal(err)
				}
				store := core.NewStore(b, core.WithCryptography(dataKeys(t, s, crypto.DataKeyOptions{})))
				_, _, err := store.Refresh(t.Context(), "ana", core.AnyVersion, func(_ context.Context, cache *tokencache.Cache) error {
					s.set(c.fault, false) // while the provider answers
					return cache.Put(tokencache.TokenResponse{
						AccessToken: "second", RefreshToken: "second", Scope: "User.Read", ExpiresIn: 3600, ClientID: "client", HomeAccountID: "ana.tenant", Sent: time.Now(),
					})
				})
				if !errors.Is(err, c.want) {
					t.Errorf("Refresh = %v, want %v", err, c.want)
				}
				s.set(nil, false)
				if err := store.Flush(t.Context()); err != nil {
					t.Errorf("Flush = %v", err)
				}
				wantStored(t, b, s, "second")
			})
		})
	}
}

func TestAProcessThatMayWrapAndNotUnwrapWritesNothing(t *testing.T) {
	s := newService("mine")
	s.noUnwrap = fmt.Errorf("%w: kms:Decrypt", crypto.ErrKeyDenied)
	if stored, err := dataKeys(t, s, crypto.DataKeyOptions{}).Encrypt(t.Context(), []byte("text"), nil); !errors.Is(err, crypto.ErrKeyDenied) || stored != nil {
		t.Errorf("Encrypt = %q, %v; want ErrKeyDenied", stored, err)
	}
}

// No record is damaged when nothing could be encrypted.
func TestAKeyServiceThatDoesntUnwrapWhatItWrappedIsNoDamage(t *testing.T) {
	s := newService("mine")
	s.noUnwrap = fmt.Errorf("%w: invalid ciphertext", core.ErrDecrypt)
	if stored, err := dataKeys(t, s, crypto.DataKeyOptions{}).Encrypt(t.Context(), []byte("text"), nil); err == nil || errors.Is(err, core.ErrDecrypt) || stored != nil {
		t.Errorf("Encrypt = %q, %v; want an error that isn't core.ErrDecrypt", stored, err)
	}
}

// emptied is a key service whose answers have nothing in them while it is behind a proxy.
type emptied struct {
	*service
	proxied atomic.Bool
}

func (e *emptied) Unwrap(ctx context.Context, w crypto.WrappedKey) ([]byte, error) {
	if e.proxied.Load() {
		return nil, nil
	}
	return e.service.Unwrap(ctx, w)
}

func TestAnEmptyAnswerOfTheServiceIsAnOutageAndNoDamage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &emptied{service: newService("mine")}
		d := dataKeys(t, e, crypto.DataKeyOptions{})
		stored, unknown := save(t, d, "known"), save(t, dataKeys(t, e, crypto.DataKeyOptions{}), "unknown")
		e.proxied.Store(true)
		time.Sleep(2 * time.Hour)
		wantLoad(t, d, stored, "known")
		if _, err := d.Decrypt(t.Context(), unknown, []byte("ana")); err == nil || errors.Is(err, core.ErrDecrypt) || errors.Is(err, crypto.ErrKeyDenied) {
			t.Errorf("Decrypt = %v, want an outage's error", err)
		}
	})
}

// panicking is a key service whose code panics while it is broken.
type panicking struct {
	*service
	broken atomic.Bool
}

func (p *panicking) Wrap(ctx context.Context, dataKey []byte) (crypto.WrappedKey, error) {
	if p.broken.Load() {
		panic("hunter2 " + string(dataKey))
	}
	return p.service.Wrap(ctx, dataKey)
}

func (p *panicking) Unwrap(ctx context.Context, w crypto.WrappedKey) ([]byte, error) {
	if p.broken.Load() {
		return p.service.Unwrap(ctx, crypto.WrappedKey{KeyID: w.KeyID}) // reads a byte that isn't there
	}
	return p.service.Unwrap(ctx, w)
}

func TestAPanicOfAKeyServiceIsAnErrorAndTheNextCallIsMade(t *testing.T) {
	p := &panicking{service: newService("mine")}
	d := dataKeys(t, p, crypto.DataKeyOptions{})
	stored := save(t, dataKeys(t, p, crypto.DataKeyOptions{}), "text")
	p.broken.Store(true)
	_, wrapping := d.Encrypt(t.Context(), []byte("text"), []byte("ana"))
	_, unwrapping := d.Decrypt(t.Context(), stored, []byte("ana"))
	for _, err := range []error{wrapping, unwrapping} {
		if err == nil || errors.Is(err, core.ErrDecrypt) || !strings.Contains(err.Error(), "panicked") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v; want an error that tells of the panic, and not its value", err)
		}
	}
	p.broken.Store(false)
	wantLoad(t, d, stored, "text")
	wantLoad(t, d, save(t, d, "more"), "more")
}

func TestACallerWhoLeavesCostsTheOthersNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newService("mine")
		stored := save(t, dataKeys(t, s, crypto.DataKeyOptions{}), "text")
		d := dataKeys(t, slowly{s}, crypto.DataKeyOptions{})
		ctx, cancel := context.WithCancel(t.Context())
		left := make(chan error)
		go func() {
			_, err := d.Decrypt(ctx, stored, []byte("ana"))
			left <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Errorf("the caller who left got %v", err)
		}
		time.Sleep(time.Second) // the service's answer
		synctest.Wait()
		before := s.calls()
		wantLoad(t, d, stored, "text")
		if s.calls() != before {
			t.Error("the service's answer to a caller who left was thrown away")
		}
	})
}

func TestARotatedServiceKeyIsLearntWithTheNextDataKey(t *testing.T) {
	s := newService("mine")
	d := dataKeys(t, s, crypto.DataKeyOptions{})
	if !d.NeedsRotation([]byte("graphtoken:4:x")) {
		t.Error("before the first data key, NeedsRotation is false")
	}
	stored := save(t, d, "text")
	if d.NeedsRotation(stored) {
		t.Error("NeedsRotation is true for what was just encrypted")
	}
	s.rotate()
	if err := d.Prepare(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !d.NeedsRotation(stored) {
		t.Error("NeedsRotation is false for a record under the key's former version")
	}
	wantLoad(t, d, stored, "text")
	if d.NeedsRotation(save(t, d, "text")) {
		t.Error("NeedsRotation is true for a record under the key's new version")
	}
	for _, foreign := range []string{"", "{}", "graphtoken:1:0123456789abcdef:AAAA", "graphtoken:4:x", "graphtoken:4:x:y"} {
		if !d.NeedsRotation([]byte(foreign)) {
			t.Errorf("NeedsRotation is false for %q", foreign)
		}
	}
}

func TestAnotherManagersRecordNamesThatManager(t *testing.T) {
	s := newService("mine")
	d, k := dataKeys(t, s, crypto.DataKeyOptions{}), ring(t, fixed)
	for name, decrypt := range map[string]func() error{
		"a Keyring": func() error {
			_, err := d.Decrypt(t.Context(), encrypt(t, k, "text", "ana"), []byte("ana"))
			return err
		},
		"DataKeys": func() error { _, err := k.Decrypt(t.Context(), save(t, d, "text"), []byte("ana")); return err },
	} {
		if err := decrypt(); !errors.Is(err, crypto.ErrUnknownKey) || !errors.Is(err, core.ErrDecrypt) || !strings.Contains(err.Error(), name) {
			t.Errorf("a record of %s: %v", name, err)
		}
	}
}

// A process that can write to the store can put any key's name and any wrapped key there.
func TestAWrappedKeyFromAnotherRecordDecryptsNothing(t *testing.T) {
	s := newService("mine")
	d := dataKeys(t, s, crypto.DataKeyOptions{Uses: 1})
	one, two := save(t, d, "one"), save(t, d, "two")
	spliced := []byte(headerOf(one) + strings.TrimPrefix(string(two), headerOf(two)))
	if got, err := d.Decrypt(t.Context(), spliced, []byte("ana")); !errors.Is(err, core.ErrDecrypt) || got != nil {
		t.Errorf("Decrypt = %q, %v; want core.ErrDecrypt", got, err)
	}
}

// Records that a data key encrypted before and after an update of the program share it.
func TestADataKeyIsKnownFromRecordsOfEitherFormat(t *testing.T) {
	var older, newer []vector
	readVectors(t, formats[2], &older)
	readVectors(t, formats[4], &newer)
	counted := &counting{KeyService: recorded{unhex(t, older[0].Wrapped), unhex(t, older[0].KeyBytes)}}
	d := dataKeys(t, counted, crypto.DataKeyOptions{})
	for _, stored := range [][]byte{[]byte(older[0].Envelope), unbase64(t, newer[0].Envelope)} {
		if _, err := d.Decrypt(t.Context(), stored, older[0].AssociatedData); err != nil {
			t.Error(err)
		}
	}
	if counted.unwraps != 1 {
		t.Errorf("%d calls of Unwrap for one data key", counted.unwraps)
	}
}

// counting counts the calls of Unwrap.
type counting struct {
	crypto.KeyService
	unwraps int
}

func (c *counting) Unwrap(ctx context.Context, w crypto.WrappedKey) ([]byte, error) {
	c.unwraps++
	return c.KeyService.Unwrap(ctx, w)
}

func TestNoMoreDataKeysAreKeptThanAllowed(t *testing.T) {
	s := newService("mine")
	writer := dataKeys(t, s, crypto.DataKeyOptions{Uses: 1})
	var stored [5][]byte
	for i := range stored {
		stored[i] = save(t, writer, "text")
	}
	d := dataKeys(t, s, crypto.DataKeyOptions{MaxKnown: 3})
	calls := func(i int) int {
		before := s.calls()[1]
		wantLoad(t, d, stored[i], "text")
		return s.calls()[1] - before
	}
	for i, want := range []int{1, 1, 1} {
		if got := calls(i); got != want {
			t.Errorf("the first load of record %d makes %d calls", i, got)
		}
	}
	if calls(0) != 0 {
		t.Error("the oldest of three data keys isn't known")
	}
	if calls(3) != 1 || calls(0) != 0 || calls(1) != 1 {
		t.Error("not the data key that was used longest ago was forgotten")
	}
}

func TestDataKeysRefuseOptionsThatCannotWork(t *testing.T) {
	for name, make := range map[string]func() (*crypto.DataKeys, error){
		"no service": func() (*crypto.DataKeys, error) { return crypto.NewDataKeys(nil, crypto.DataKeyOptions{}) },
		"negative uses": func() (*crypto.DataKeys, error) {
			return crypto.NewDataKeys(newService("a"), crypto.DataKeyOptions{Uses: -1})
		},
		"more uses than 2³²": func() (*crypto.DataKeys, error) {
			return crypto.NewDataKeys(newService("a"), crypto.DataKeyOptions{Uses: 1<<32 + 1})
		},
		"a time that is gone": func() (*crypto.DataKeys, error) {
			return crypto.NewDataKeys(newService("a"), crypto.DataKeyOptions{UseFor: -1})
		},
	} {
		if d, err := make(); err == nil || d != nil {
			t.Errorf("%s: %v, %v", name, d, err)
		}
	}
}
