package msal

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// owner is what a record knows of the user whose refresh token is sent.
type owner struct {
	homeAccountID  string
	localAccountID string            // in the tenant that is asked; "" if the user wasn't there yet
	idToken        tokencache.Secret // the one before; "" for none
	username       string
}

// account returns the home account ID that the answer is for, as MSAL Go makes it
// (accesstokens.TokenResponse.HomeAccountID): from Microsoft's client_info, or
// else the id token's subject.
func (a *answer) account() (string, error) {
	if a.ClientInfo != "" {
		return tokencache.HomeAccountID(a.ClientInfo)
	}
	claims, err := readClaims(a.IDToken)
	if err == nil && claims.text("sub") == "" {
		err = errors.New("the answer doesn't name the owner of the tokens")
	}
	return claims.text("sub"), err
}

// checkOwner refuses an answer for another account than the one whose refresh token was
// sent. Microsoft's client_info names the account. Without it, the ID token does: its
// subject must be that of the former ID token (OpenID Connect Core section 12.2); or else
// its object ID, or its subject, must be one that the record has for the user; or else,
// in a token with neither, a name. An answer that names nobody belongs to the user.
func (a *answer) checkOwner(known owner) error {
	if a.ClientInfo != "" {
		id, err := tokencache.HomeAccountID(a.ClientInfo)
		if err == nil && !sameAccount(id, known.homeAccountID) {
			err = fmt.Errorf("the answer is for account %s, not for %s", core.Printable(id), core.Printable(known.homeAccountID))
		}
		if err != nil {
			return userFault(err)
		}
		return nil
	}
	claims, err := readClaims(a.IDToken)
	if err != nil || claims.areOf(known) {
		return nil
	}
	return userFault(fmt.Errorf("the answer is for another account than %s", core.Printable(known.homeAccountID)))
}

// sameAccount reports whether the ID in an answer's client_info is that of a record. If
// the client_info had no utid, libraries make several IDs of its uid ("uid.uid", "uid").
func sameAccount(id, stored string) bool {
	uid, utid, _ := strings.Cut(id, ".")
	storedUID, _, _ := strings.Cut(stored, ".")
	return strings.EqualFold(id, stored) || uid == utid && strings.EqualFold(uid, storedUID)
}

// claims are those of a JSON web token. Each is read by itself, so that one of an
// unexpected type doesn't make the others unreadable.
type claims map[string]json.RawMessage

func (c claims) text(name string) string { return textOf(c[name]) }

// areOf reports whether the claims of an ID token can belong to the account.
func (c claims) areOf(known owner) bool {
	before, _ := readClaims(known.idToken.Reveal())
	if was, is := before.text("sub"), c.text("sub"); was != "" && is != "" {
		return is == was
	}
	if c.text("sub") == "" && c.text("oid") == "" {
		return c.names(known.username)
	}
	uid, _, _ := strings.Cut(known.homeAccountID, ".")
	for _, id := range []string{c.text("oid"), c.text("sub")} {
		for _, mine := range []string{known.homeAccountID, known.localAccountID, uid} {
			if id != "" && strings.EqualFold(id, mine) {
				return true
			}
		}
	}
	return false
}

// names reports whether the claims have the user's name, or none at all.
func (c claims) names(username string) bool {
	found := false
	for _, claim := range []string{"preferred_username", "upn", "email"} {
		name := c.text(claim)
		if strings.EqualFold(name, username) {
			return true
		}
		found = found || name != ""
	}
	return !found || username == ""
}

// readClaims reads the claims of a JSON web token. Without a token there are none. The
// signature is not checked: the token came from the provider itself, over TLS (OpenID
// Connect Core section 3.1.3.7, item 6).
func readClaims(token string) (claims, error) {
	if token == "" {
		return nil, nil
	}
	var c claims
	segments := strings.Split(token, ".")
	if len(segments) < 2 || decodeSegment(segments[1], &c) != nil {
		return nil, errors.New("the ID token can't be read")
	}
	return c, nil
}

func decodeSegment(segment string, into any) error {
	data, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(segment, "="))
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}
