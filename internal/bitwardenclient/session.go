package bitwardenclient

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/graphtoken/graphtoken/core"
)

// session is a machine account's login, and renews it.
type session struct {
	access   *accessToken
	identity string
	sender   *sender
	state    stateFile
	renewing chan struct{} // full while a call renews
	current  atomic.Pointer[login]
}

// Format prints only the account.
func (s *session) Format(f fmt.State, _ rune) { _, _ = fmt.Fprintf(f, "[session of %v]", s.access) }

// login is what the identity server grants. The state file stores a part of it.
type login struct {
	bearer       string
	organization string
	key          *symmetricKey // the organization's
	renew, end   time.Time     // when the session asks for another login, and when this one expires
}

// Format prints only the account.
func (l login) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[login to "+l.organization+"]") }

// renewBefore is how long before its end a login is renewed, as by the official SDK. A login
// of less than fifty minutes is renewed after nine tenths of its time.
const renewBefore = 5 * time.Minute

// newLogin reads a bearer token and the organization's key. The login's times are the
// token's, by the server's clock.
func newLogin(bearer, organizationKey string) (*login, error) {
	key, err := readKey(organizationKey)
	if err != nil {
		return nil, err
	}
	c, err := readClaims(bearer)
	if err != nil {
		return nil, err
	}
	l := &login{bearer: bearer, organization: c.Organization, key: key}
	l.lasts(time.Unix(c.Begins, 0), time.Unix(c.Expires, 0))
	return l, nil
}

func (l *login) lasts(begin, end time.Time) {
	l.renew, l.end = end.Add(-min(renewBefore, end.Sub(begin)/10)), end
}

// isNew reports that the login needn't be renewed yet.
func (l *login) isNew(rejected string) bool {
	return l.bearer != rejected && time.Now().Before(l.renew)
}

// isGood reports that the login can be used, by this machine's knowledge.
func (l *login) isGood(rejected string) bool {
	return l.bearer != rejected && time.Now().Before(l.end)
}

// sendFunc is sender.send or sender.once.
type sendFunc func(context.Context, request, any) error

// claims are the fields that the client reads from a bearer token. It doesn't verify the
// token: the client sends it only to the server that issued it.
type claims struct {
	Begins       int64  `json:"nbf"` // in seconds since 1970
	Expires      int64  `json:"exp"` // in seconds since 1970
	Organization string `json:"organization"`
}

var errNoJWT = errors.New("the token that the server sent at login isn't a JWT")

func readClaims(bearer string) (claims, error) {
	var c claims
	parts := strings.Split(bearer, ".")
	if len(parts) != 3 {
		return c, errNoJWT
	}
	payload, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[1], "="))
	if err != nil || json.Unmarshal(payload, &c) != nil {
		return c, errNoJWT
	}
	if !IsUUID(c.Organization) {
		return c, errors.New("the token that the server sent at login names no organization")
	}
	return c, nil
}

// get returns a login whose bearer token isn't the rejected one, and renews it if it is
// time. While a login that is still valid is renewed, other callers use it. If it can't
// be renewed, they use it until it expires.
func (s *session) get(ctx context.Context, rejected string) (*login, error) {
	l := s.current.Load()
	if l.isNew(rejected) {
		return l, nil
	}
	select {
	case s.renewing <- struct{}{}:
	default:
		if l.isGood(rejected) {
			return l, nil
		}
		select {
		case s.renewing <- struct{}{}:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	defer func() { <-s.renewing }()

	l = s.current.Load() // another call may have renewed it meanwhile
	if l.isNew(rejected) {
		return l, nil
	}
	send := s.sender.send
	if l.isGood(rejected) {
		send = s.sender.once
	}
	next, err := s.next(ctx, rejected, send)
	switch {
	case next != nil:
		s.current.Store(next)
		return next, nil
	case ctx.Err() != nil:
		return nil, err
	case l.isGood(rejected):
		again := *l
		again.renew = time.Now().Add(time.Until(l.end) / 4)
		s.current.Store(&again)
		return l, nil
	}
	return nil, err
}

// next returns the login that another process has left in the state file, or a new one.
// If only the file can't be written, it returns both the login and the error.
func (s *session) next(ctx context.Context, rejected string, send sendFunc) (*login, error) {
	if l := s.state.read(); l != nil && l.isNew(rejected) {
		return l, nil
	}
	l, err := s.logIn(ctx, send)
	if err != nil {
		return nil, err
	}
	err = s.state.write(l)
	if kept := s.state.read(); err != nil && kept != nil && kept.isNew(rejected) {
		// On Windows a file can't be replaced while another process reads it. The login in
		// the file is as good as the new one.
		err = nil
	}
	return l, err
}

// logIn exchanges the access token for a bearer token and the organization's key.
func (s *session) logIn(ctx context.Context, send sendFunc) (*login, error) {
	form := url.Values{
		"grant_type":    {"client_credentials"},
		"scope":         {"api.secrets"},
		"client_id":     {s.access.clientID},
		"client_secret": {s.access.clientSecret},
	}.Encode()
	var answer struct {
		AccessToken      string `json:"access_token"`
		ExpiresIn        int64  `json:"expires_in"` // seconds
		EncryptedPayload string `json:"encrypted_payload"`
	}
	sent := time.Now()
	err := send(ctx, request{
		method: http.MethodPost,
		url:    s.identity + "/connect/token",
		kind:   "application/x-www-form-urlencoded",
		body:   []byte(form),
		// The form encodes them; a server may repeat them in that form.
		secrets: []string{s.access.clientSecret, url.QueryEscape(s.access.clientSecret)},
	}, &answer)
	if err != nil {
		return nil, err
	}
	payload, err := s.access.key.open(answer.EncryptedPayload)
	if err != nil {
		return nil, fmt.Errorf("the organization's key: %w", err)
	}
	var organization struct {
		Key string `json:"encryptionKey"`
	}
	if err := json.Unmarshal(payload, &organization); err != nil {
		return nil, fmt.Errorf("%w: the organization's key isn't JSON", core.ErrDecrypt)
	}
	l, err := newLogin(answer.AccessToken, organization.Key)
	switch {
	case err != nil:
		return nil, err
	case answer.ExpiresIn <= 0:
		return nil, errors.New("the server sent a login that has already expired")
	}
	// By this machine's clock: the server's may differ.
	l.lasts(sent, sent.Add(time.Duration(answer.ExpiresIn)*time.Second))
	return l, nil
}

// readKey reads an organization's key. A key of another length belongs to a kind of
// encryption that Secrets Manager doesn't use so far.
func readKey(text string) (*symmetricKey, error) {
	raw, err := decodeBase64(text)
	if err != nil {
		return nil, fmt.Errorf("%w: the organization's key isn't base64", core.ErrDecrypt)
	}
	key, err := newSymmetricKey(raw)
	if err != nil {
		return nil, fmt.Errorf("the organization's key: %w", err)
	}
	return &key, nil
}
