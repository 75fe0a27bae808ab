package crypto_test

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/crypto"
)

// service is a key service in the process, whose key has versions. A test makes it fail.
type service struct {
	name string

	mu       sync.Mutex
	versions []cipher.AEAD
	fail     error // of each call, unless it is nil
	hang     bool  // each call lasts until its context ends
	noUnwrap error // of each Unwrap, unless it is nil
	wraps    int
	unwraps  int
}

var errDown = errors.New("connection refused")

func newService(name string) *service {
	s := &service{name: name}
	s.rotate()
	return s
}

// rotate gives the key another version, with which it wraps from now on.
func (s *service) rotate() {
	s.mu.Lock()
	defer s.mu.Unlock()
	secret := bytes.Repeat([]byte{byte(len(s.versions) + 1)}, 32)
	copy(secret, s.name)
	block, err := aes.NewCipher(secret)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err)
	}
	s.versions = append(s.versions, aead)
}

func (s *service) set(fail error, hang bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail, s.hang = fail, hang
}

// calls returns how many calls of Wrap and of Unwrap there were.
func (s *service) calls() [2]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return [2]int{s.wraps, s.unwraps}
}

func (s *service) call(ctx context.Context, counter *int) error {
	s.mu.Lock()
	*counter++
	fail, hang := s.fail, s.hang
	s.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	return errors.Join(fail, ctx.Err())
}

func (s *service) Wrap(ctx context.Context, dataKey []byte) (crypto.WrappedKey, error) {
	if err := s.call(ctx, &s.wraps); err != nil {
		return crypto.WrappedKey{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	version := len(s.versions)
	return crypto.WrappedKey{KeyID: fmt.Sprintf("%s/%d", s.name, version), Data: append([]byte{byte(version)}, s.versions[version-1].Seal(nil, nil, dataKey, nil)...)}, nil
}

func (s *service) Unwrap(ctx context.Context, wrapped crypto.WrappedKey) ([]byte, error) {
	if err := s.call(ctx, &s.unwraps); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.noUnwrap != nil {
		return nil, s.noUnwrap
	}
	version := int(wrapped.Data[0])
	if version < 1 || version > len(s.versions) {
		return nil, fmt.Errorf("%w: no version %d", core.ErrDecrypt, version)
	}
	if name, _, _ := strings.Cut(wrapped.KeyID, "/"); name != s.name {
		return nil, fmt.Errorf("%w: %w: under %s, not %s", core.ErrDecrypt, crypto.ErrUnknownKey, name, s.name)
	}
	key, err := s.versions[version-1].Open(nil, nil, wrapped.Data[1:], nil)
	if err != nil {
		return nil, fmt.Errorf("%w: not wrapped by this key", core.ErrDecrypt)
	}
	return key, nil
}

func dataKeys(t testing.TB, s crypto.KeyService, o crypto.DataKeyOptions) *crypto.DataKeys {
	t.Helper()
	d, err := crypto.NewDataKeys(s, o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}
