package main

import (
	"context"
	"errors"
	"net/url"
	"path/filepath"
	"strings"

	"github.com/graphtoken/graphtoken/core"
)

// placeError is an error with the store that it is about, as a user names it and without a
// password.
type placeError struct {
	place string
	name  string // what names the record in --store, if it is known
	err   error
}

func (e *placeError) Error() string { return e.place + ": " + e.err.Error() }

func (e *placeError) Unwrap() error { return e.err }

// about returns err with the store, and with the record, unless err names them. A mistake in
// the command line isn't about the store.
func (p place) about(err error) error {
	var (
		usage   usageError
		flag    *flagError
		told    *placeError
		inStore *core.Error
		program *exited
	)
	switch {
	case err == nil, errors.As(err, &usage), errors.As(err, &flag), errors.As(err, &told), errors.As(err, &program), err == context.Canceled:
		return err
	case strings.Contains(err.Error(), p.String()):
		return err
	case errors.As(err, &inStore) && inStore.Key != "":
		return &placeError{p.String(), p.name(), err}
	}
	return &placeError{p.name(), p.name(), err}
}

// name is what names the record in --store.
func (p place) name() string {
	if p.Key == "" || strings.HasSuffix(p.String(), "/"+p.Key) || p.String() == p.Key {
		return p.String()
	}
	if p.Kind == "file" && !strings.HasPrefix(p.String(), "file:") { // a path, in which a "#" means nothing
		return filepath.Join(p.String(), p.Key)
	}
	return p.String() + "#" + url.PathEscape(p.Key)
}

// of is the place with another record.
func (p place) of(key string) place {
	at := *p.Place
	at.Key = key
	return place{&at, p.url}
}

// again is a command line for the same record, user and keys as this one. Flags that come
// from the environment hold for it, too.
func (s *session) again(command string) string {
	line := "graphtoken " + command
	for _, f := range []struct{ name, value string }{
		{"user", s.User}, {"client-id", s.ClientID}, {"tenant", s.Tenant}, {"authority", s.Authority}, {"ca", s.CA},
		{"client-secret-file", s.ClientSecretFile}, {"certificate", s.Certificate}, {"federated-token-file", s.FederatedTokenFile},
		{"key-file", s.KeyFile}, {"keychain", s.Keychain},
	} {
		if s.given[f.name] && f.value != "" {
			line += " --" + f.name + " " + shellWord(f.value)
		}
	}
	for _, f := range []struct {
		name string
		set  bool
	}{{"client-credentials", s.ClientCredentials}, {"keychain-file", s.KeychainFile}, {"shared-key-file", s.SharedKeyFile}} {
		if s.given[f.name] && f.set {
			line += " --" + f.name
		}
	}
	if s.at != nil && (s.given["store"] || s.given["record"]) {
		line += " --store " + storeWord(s.at.name())
	}
	return line
}

// signIn is again for a login into a record that doesn't tell the application.
func (s *session) signIn() string {
	if s.ClientID != "" {
		return s.again("login")
	}
	return s.again("login --client-id ID")
}

// storeWord names a store in a command line. A URL whose user and password aren't
// shown can't be copied from a message.
func storeWord(name string) string {
	if userInfo.MatchString(name) || secretOption.MatchString(name) {
		return "URL (the same as before: " + name + ")"
	}
	return shellWord(name)
}

// shellWord quotes a text for a Unix shell, if it has to be quoted.
func shellWord(text string) string {
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-#", r)
	}) && text[0] != '#' {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}
