package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path/filepath"

	"github.com/graphtoken/graphtoken/adapters/msal"
)

// provider is an identity provider besides Microsoft's that this user has signed in at on
// this machine. A record alone can't make graphtoken send secrets anywhere else: everybody
// who can write to the store could name a host of their own there.
type provider struct {
	CA string `json:"ca,omitempty"` // --ca of the login
}

// errUntrusted says that a record names a provider that the user hasn't.
var errUntrusted = errors.New("the record names an identity provider that you haven't named on this machine")

// providersFile has the providers, by host.
func providersFile() (string, error) {
	dir, err := configDirectory()
	return filepath.Join(dir, "providers.json"), err
}

// providers reads the file; without one, there are none.
func providers() (map[string]provider, error) {
	all := make(map[string]provider)
	path, err := providersFile()
	if err != nil {
		return all, nil // no file without a directory
	}
	data, err := readPrivate(path, false)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(data, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

// trusted returns what is known of the provider that a record names, or why it gets no
// secrets.
func trusted(authority string) (provider, error) {
	u, err := url.Parse(authority)
	if err != nil || u.Scheme != "https" || u.User != nil {
		return provider{}, errUntrusted // and isn't quoted: it may be anything
	}
	if msal.IsMicrosofts(u.Host) {
		return provider{}, nil
	}
	all, err := providers()
	if err != nil {
		return provider{}, err
	}
	host, _ := split(authority)
	p, known := all[host]
	if !known {
		return p, fmt.Errorf("%w: %s (if it may have the tokens, name it with --authority)", errUntrusted, host)
	}
	return p, nil
}

// noteProvider notes a provider that isn't Microsoft's as one that the user has named.
func noteProvider(ctx context.Context, authority, ca string) error {
	host, _ := split(authority)
	if host == "" || msal.IsMicrosofts(host) {
		return nil
	}
	path, err := providersFile()
	if err != nil {
		return err
	}
	ca, err = absolute(ca)
	if err != nil {
		return err
	}
	all, err := providers()
	if err != nil {
		return err
	}
	p, known := all[host]
	if known && (ca == "" || ca == p.CA) {
		return nil
	}
	all[host] = provider{CA: ca}
	data, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	return savePrivate(ctx, path, append(data, '\n'))
}
