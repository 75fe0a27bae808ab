package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/crypto"
	"github.com/graphtoken/graphtoken/crypto/keychain"
)

func (s *session) encrypted() bool { return s.KeyFile != "" || s.keys != "" || s.Keychain != "" }

// encryption is how the flags have a store encrypt and decrypt records.
func (s *session) encryption(ctx context.Context) ([]core.StoreOption, error) {
	keyring, err := s.keyring(ctx)
	if err != nil {
		return nil, err
	}
	var opts []core.StoreOption
	if keyring != nil {
		opts = append(opts, core.WithCryptography(keyring))
	}
	if s.PlaintextReads {
		opts = append(opts, core.WithPlaintextReads())
	}
	return opts, nil
}

// keyring returns nil if no keys are named.
func (s *session) keyring(ctx context.Context) (*crypto.Keyring, error) {
	var keys []crypto.Key
	var err error
	switch {
	case s.Keychain == "" && s.KeychainFile:
		return nil, usageError("--keychain-file is for --keychain, which names the key")
	case s.KeyFile != "" && s.keys != "", s.Keychain != "" && (s.KeyFile != "" || s.keys != ""):
		return nil, usageError("keys come from one place: from --key-file, GRAPHTOKEN_KEYS or --keychain")
	case s.Keychain != "":
		key, place, err := keychain.Open(ctx, s.Keychain, keychain.Options{AllowFile: s.KeychainFile})
		if err != nil {
			return nil, &flagError{"--keychain", fmt.Errorf("--keychain %s: %w", s.Keychain, err)}
		}
		s.keyPlace = place
		return crypto.NewKeyring(key)
	case s.KeyFile != "":
		var unreadable *fs.PathError
		keys, err = crypto.ReadKeyFile(s.KeyFile, crypto.KeyFileOptions{AllowShared: s.SharedKeyFile})
		switch {
		case errors.Is(err, crypto.ErrKeyFileShared):
			return nil, &flagError{"--key-file", fmt.Errorf("--key-file %s: %w; chmod 600 it, or accept that by --shared-key-file", s.KeyFile, crypto.ErrKeyFileShared)}
		case errors.As(err, &unreadable):
			return nil, unread("--key-file", s.KeyFile, err)
		case err != nil:
			return nil, &flagError{"--key-file", fmt.Errorf("--key-file %w", err)}
		}
	case s.keys != "":
		if keys, err = crypto.ParseKeys(s.keys); err != nil {
			return nil, &flagError{"GRAPHTOKEN_KEYS", fmt.Errorf("GRAPHTOKEN_KEYS (a file of keys is named by --key-file): %w", err)}
		}
	default:
		return nil, nil
	}
	return crypto.NewKeyring(keys[0], keys[1:]...)
}
