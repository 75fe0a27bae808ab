package main

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
)

// tokenSections are the sections of a record's document that have tokens.
var tokenSections = []string{"AccessToken", "RefreshToken", "IdToken"}

// sectionsOf are the sections of a record's document. An entry that is no object is left
// out.
func sectionsOf(c *tokencache.Cache) (map[string]map[string]json.RawMessage, error) {
	data, err := c.Marshal()
	if err != nil {
		return nil, err
	}
	var document map[string]json.RawMessage
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, err
	}
	sections := make(map[string]map[string]json.RawMessage)
	for _, name := range append(tokenSections[:len(tokenSections):len(tokenSections)], "Account", "AppMetadata") {
		var entries map[string]json.RawMessage
		_ = json.Unmarshal(document[name], &entries) // null, or not there
		sections[name] = entries
	}
	return sections, nil
}

// eachEntry calls f for each token of a record.
func eachEntry(c *tokencache.Cache, f func(section string, raw json.RawMessage, h holder)) error {
	sections, err := sectionsOf(c)
	if err != nil {
		return err
	}
	for _, name := range tokenSections {
		for _, raw := range sections[name] {
			var h holder
			if json.Unmarshal(raw, &h) == nil {
				f(name, raw, h)
			}
		}
	}
	return nil
}

// part returns the part of a record that q's user, client or application has, and the whole
// record if q names none. Sections that no library shares are in the whole alone, because
// nobody knows whose they are.
func part(c *tokencache.Cache, q tokencache.Query) (*tokencache.Cache, error) {
	if q.Username == "" && q.ClientID == "" && !q.App {
		return c, nil
	}
	sections, err := sectionsOf(c)
	if err != nil {
		return nil, err
	}
	users := fitting(c, tokencache.Query{Username: q.Username})
	families := familiesOf(sections["AppMetadata"], q.ClientID)
	owners, clients := make(map[string]bool), make(map[string]bool)
	for _, name := range tokenSections {
		for key, raw := range sections[name] {
			var h member
			if json.Unmarshal(raw, &h) != nil || !isOf(q, h.holder, c, users) || !fits(q.ClientID, h.ClientID) && !families[h.FamilyID] {
				delete(sections[name], key)
				continue
			}
			owners[strings.ToLower(h.HomeAccountID)], clients[strings.ToLower(h.ClientID)] = true, true
		}
	}
	if len(owners) == 0 {
		return nil, fmt.Errorf("%w of %s", core.ErrNotFound, whom(q))
	}
	for name, has := range map[string]func(holder) bool{
		"Account":     func(h holder) bool { return owners[strings.ToLower(h.HomeAccountID)] },
		"AppMetadata": func(h holder) bool { return clients[strings.ToLower(h.ClientID)] },
	} {
		for key, raw := range sections[name] {
			var h holder
			if json.Unmarshal(raw, &h) != nil || !has(h) {
				delete(sections[name], key)
			}
		}
	}
	data, err := json.Marshal(sections)
	if err != nil {
		return nil, err
	}
	return tokencache.Parse(data)
}

// member is an entry of a client that may belong to a family, whose refresh token serves
// all its clients.
type member struct {
	holder
	FamilyID string `json:"family_id"`
}

// familiesOf are the families of the client, by the metadata of applications.
func familiesOf(apps map[string]json.RawMessage, client string) map[string]bool {
	families := make(map[string]bool)
	for _, raw := range apps {
		var m member
		if json.Unmarshal(raw, &m) == nil && m.FamilyID != "" && fits(client, m.ClientID) {
			families[m.FamilyID] = true
		}
	}
	return families
}

// isOf reports whether tokens belong to the user or application that q names.
func isOf(q tokencache.Query, h holder, c *tokencache.Cache, users []tokencache.Account) bool {
	switch {
	case q.App:
		return h.HomeAccountID == ""
	case q.Username != "":
		return h.isOneOf(c, users)
	}
	return true
}
