package core

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// encode returns what is stored for c.
func (s *Store) encode(ctx context.Context, key string, c *tokencache.Cache) ([]byte, error) {
	data, err := c.Marshal()
	if err != nil || s.cryptography == nil {
		return data, err
	}
	return s.cryptography.Encrypt(ctx, data, s.associatedData(key))
}

// decode is the reverse of encode; an absent record is an empty cache.
func (s *Store) decode(ctx context.Context, key string, rec Record) (*tokencache.Cache, error) {
	if rec.Version == Absent {
		return tokencache.New(), nil
	}
	plain, err := s.decrypt(ctx, key, rec.Data)
	if err != nil {
		return nil, s.fail("load", key, err)
	}
	c, err := tokencache.Parse(plain)
	if err != nil {
		return nil, s.fail("load", key, err)
	}
	return c, nil
}

func (s *Store) decrypt(ctx context.Context, key string, data []byte) ([]byte, error) {
	if s.cryptography == nil || len(data) == 0 {
		return data, nil // empty is corrupt, under encryption too
	}
	// A copy, because a manager may break the rule and decrypt in place, and others are
	// handed the same data.
	plain, err := s.cryptography.Decrypt(ctx, slices.Clone(data), s.associatedData(key))
	if err == nil || !errors.Is(err, ErrDecrypt) || !looksPlain(data) {
		return plain, err
	}
	if !s.plaintextReads {
		return nil, fmt.Errorf("%w: the record is plain; see WithPlaintextReads", ErrDecrypt)
	}
	return data, nil
}

// looksPlain reports whether data begins as a JSON object does.
func looksPlain(data []byte) bool {
	return bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{"))
}

func (s *Store) associatedData(key string) []byte { return AssociatedData(s.namespace, key) }

// sameDocument reports whether two token caches are written alike.
func sameDocument(a, b *tokencache.Cache) (bool, error) {
	x, err := a.Marshal()
	if err != nil {
		return false, err
	}
	y, err := b.Marshal()
	return bytes.Equal(x, y), err
}
