package msal

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// account returns the home account ID that the answer is for, as MSAL makes it
// (accesstokens.TokenResponse.HomeAccountID): from Microsoft's client_info, or
// else the id token's subject.
func (a *answer) account() (string, error) {
	if a.ClientInfo == "" {
		subject, err := subjectOf(a.IDToken)
		if err == nil && subject == "" {
			err = errors.New("the answer doesn't say whose tokens these are")
		}
		return subject, err
	}
	var info struct {
		UID  string `json:"uid"`
		UTID string `json:"utid"`
	}
	if err := decodeSegment(a.ClientInfo, &info); err != nil || info.UID == "" {
		return "", errors.New("the answer's client_info can't be read")
	}
	if info.UTID == "" {
		info.UTID = info.UID
	}
	return info.UID + "." + info.UTID, nil
}

// checkOwner refuses an answer for another account than the one whose refresh
// token was spent. Where there is no client_info, the id token's subject must
// be that of the one before (OpenID Connect Core section 12.2).
func (a *answer) checkOwner(homeAccountID string, before tokencache.Secret) error {
	if a.ClientInfo != "" {
		account, err := a.account()
		if err == nil && !strings.EqualFold(account, homeAccountID) {
			err = fmt.Errorf("the answer is for account %s, not for %s", account, homeAccountID)
		}
		return err
	}
	was, err := subjectOf(before.Reveal())
	if err != nil || was == "" {
		return nil // nothing to compare with
	}
	is, err := subjectOf(a.IDToken)
	if err == nil && is != "" && is != was {
		err = errors.New("the answer is for another account")
	}
	return err
}

// subjectOf reads the sub claim of an id token; "" of none. The signature is
// not checked: the token came from the provider itself, over TLS (OpenID
// Connect Core section 3.1.3.7, item 6).
func subjectOf(idToken string) (string, error) {
	if idToken == "" {
		return "", nil
	}
	var claims struct {
		Subject string `json:"sub"`
	}
	segments := strings.Split(idToken, ".")
	if len(segments) < 2 || decodeSegment(segments[1], &claims) != nil {
		return "", errors.New("the answer's id token can't be read")
	}
	return claims.Subject, nil
}

func decodeSegment(segment string, into any) error {
	data, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(segment, "="))
	if err != nil {
		return err
	}
	return json.Unmarshal(data, into)
}
