package tokencache

import (
	"cmp"
	"maps"
	"slices"
	"time"
)

// Merge returns what has to be stored if mine was made of base, and theirs was stored
// meanwhile. A nil cache is an empty one. None of the three is changed.
//
// A change on one side alone counts. If both sides changed, Merge goes user by user; a
// user of two providers counts as two:
//
//   - A sign-out (the user's account is gone) wins over a refresh, which changed tokens of
//     a user who was there before. It loses to a new sign-in: a Put with the GrantType of
//     a sign-in, or a user who was not in base. The same holds for the removal of all of
//     an application's tokens of one client.
//   - Otherwise, of two changes to the same token, the later wins; a refresh token has its
//     access token's stamp. On a tie the stored one wins.
//   - A change wins over the removal of a single token, unless the change left the secret
//     as it was.
//
// Stored entries keep their keys. The metadata of an application goes when its tokens go.
func Merge(base, mine, theirs *Cache) *Cache {
	for _, c := range []**Cache{&base, &mine, &theirs} {
		if *c == nil {
			*c = New()
		}
	}
	merged := theirs.Clone()
	for of, m := range mine.in().groups {
		if b := base.in().groups[of]; !slices.Equal(m, b) { // nearly all are the very entries of base
			merged.mergeGroup(of, b, m)
		}
	}
	for of, b := range base.in().groups {
		if _, kept := mine.in().groups[of]; !kept {
			merged.mergeGroup(of, b, nil)
		}
	}
	mergeMaps(base.in().apps, mine.in().apps, merged.in().apps)
	merged.settleApps(mine, theirs)
	mergeMaps(base.in().extra, mine.in().extra, merged.in().extra)
	return merged
}

// mergeGroup merges mine into one owner's group of c, which is theirs.
func (c *Cache) mergeGroup(of owner, base, mine group) {
	theirs := c.in().groups[of]
	switch {
	case slices.Equal(theirs, base) || theirs.same(base): // to the letter, before white space
		c.setGroup(of, mine)
	case mine.equal(base) || mine.equal(theirs):
	case theirs.equal(base):
		c.setGroup(of, mine)
	case of.home == "":
		c.setGroup(of, mergeEntries(base, mine.withoutSignedOut(base, theirs), theirs))
	case mine.signedOut(base) && !theirs.signedInSince(base):
		c.setGroup(of, mine)
	case theirs.signedOut(base) && !mine.signedInSince(base):
	default:
		c.setGroup(of, mergeEntries(base, mine, theirs))
	}
}

// mergeEntries merges identity by identity.
func mergeEntries(base, mine, theirs group) group {
	b, m, t := base.byIdentity(), mine.byIdentity(), theirs.byIdentity()
	either := maps.Clone(t)
	maps.Copy(either, m)
	var merged group
	ms, ts := &stamps{g: mine}, &stamps{g: theirs}
	mineSince, theirsSince := mine.lastSignInSince(base), theirs.lastSignInSince(base)
	if len(base) == 0 || mineSince != 0 && theirsSince != 0 { // neither goes on with the session before
		mineSince, theirsSince = 0, 0
	}
	for id := range either {
		e := pick(b[id], m[id], t[id], func() *entry {
			switch ours, others := m[id].isOf(mineSince), t[id].isOf(theirsSince); {
			case ours && !others:
				return m[id]
			case others && !ours:
				return t[id]
			}
			return newer(ms, m[id], ts, t[id])
		})
		if e != nil && t[id] != nil {
			e = e.inPlaceOf(t[id]) // what is stored keeps its key
		}
		if e != nil {
			merged = append(merged, e)
		}
	}
	return merged.collapse()
}

// withoutSignedOut returns an application's tokens without those of clients that were
// signed out meanwhile: their tokens were in base, and are gone. A refresh is no sign-in,
// and must not bring them back.
func (g group) withoutSignedOut(base, theirs group) group {
	was, is := base.clients(), theirs.clients()
	return slices.DeleteFunc(slices.Clone(g), func(e *entry) bool {
		of := fold(e.field[clientID])
		return e.kind == accessTokens && !e.opaque() && was[of] && !is[of]
	})
}

// clients returns the clients that have an access token, in lower case.
func (g group) clients() map[string]bool {
	clients := make(map[string]bool)
	for _, e := range g {
		if e.kind == accessTokens && !e.opaque() {
			clients[fold(e.field[clientID])] = true
		}
	}
	return clients
}

// pick returns the result for one entry. If both sides changed it, decide chooses.
func pick(base, mine, theirs *entry, decide func() *entry) *entry {
	switch {
	case same(theirs, base): // to the letter, before white space
		return mine
	case mine == nil && sameSecret(base, theirs): // a dropped token must not come back because its entry was written anew
		return nil
	case equal(base, mine) || mine == nil && !equal(base, theirs):
		return theirs
	case equal(base, theirs) || theirs == nil:
		return mine
	}
	return decide()
}

// mergeMaps merges mine into theirs, name by name.
func mergeMaps(base, mine, theirs map[string]*entry) {
	for _, names := range []map[string]*entry{base, mine} {
		for name := range names {
			t := theirs[name]
			if e := pick(base[name], mine[name], t, func() *entry { return t }); e != nil {
				theirs[name] = e
			} else {
				delete(theirs, name)
			}
		}
	}
}

func sameSecret(a, b *entry) bool {
	return a != nil && b != nil && a.field[secret] != "" && a.field[secret] == b.field[secret]
}

func (g group) byIdentity() map[string]*entry {
	m := make(map[string]*entry, len(g))
	for _, e := range g {
		m[e.identity()] = e
	}
	return m
}

func (g group) equal(o group) bool { return slices.EqualFunc(g, o, equal) }

func (g group) same(o group) bool { return slices.EqualFunc(g, o, same) }

// same reports whether two entries are the same to the letter.
func same(a, b *entry) bool {
	return a == b || a != nil && b != nil && a.kind == b.kind && a.key == b.key && a.raw == b.raw
}

// signedOut reports whether the user was in base and is no longer there. MSAL leaves
// tokens of other clients in the record.
func (g group) signedOut(base group) bool {
	return len(g) == 0 || base.hasAccount() && !g.hasAccount()
}

func (g group) hasAccount() bool {
	return slices.ContainsFunc(g, func(e *entry) bool { return e.kind == accounts && !e.opaque() })
}

// signedInSince reports whether the user has signed in since base: the user was not
// there, or has an account that says so. If a library takes our stamps away, a sign-in
// looks like a refresh, and a refresh never looks like a sign-in.
func (g group) signedInSince(base group) bool {
	if len(base) == 0 {
		return len(g) > 0
	}
	was := base.signIns()
	for _, e := range g {
		if at := e.signIn(); at != (stamp{}) && !was[at] {
			return true
		}
	}
	return false
}

// lastSignInSince returns when the user signed in last, if not in base, and zero
// otherwise. A stamp in whole seconds counts, too: the account may stay in the merged
// record, which would otherwise be merged differently the next time.
func (g group) lastSignInSince(base group) (last int64) {
	was := base.signIns()
	for _, e := range g {
		if at := e.signIn(); at != (stamp{}) && !was[at] {
			last = max(last, cmp.Or(at.nano, at.at*int64(time.Second)))
		}
	}
	return last
}

// isOf reports whether e is a refresh token of a sign-in at the given time, or of a
// refresh after it. Such a token wins over a refresh of the session before, whatever the
// stamps say: that session may have been ended, and requests can overtake each other.
func (e *entry) isOf(signIn int64) bool {
	return e.kind == refreshTokens && !e.opaque() && signIn != 0 && e.sent().nano >= signIn
}

func (g group) signIns() map[stamp]bool {
	all := make(map[stamp]bool)
	for _, e := range g {
		if at := e.signIn(); at != (stamp{}) {
			all[at] = true
		}
	}
	return all
}

// signIn returns when Put noted a sign-in at an account.
func (e *entry) signIn() stamp {
	if e.kind != accounts || e.opaque() {
		return stamp{}
	}
	return e.sent()
}

// settleApps removes the metadata of applications that theirs doesn't have, unless their
// tokens are there. A record that was deleted must not come back as metadata alone; and
// without the metadata, MSAL Go finds no refresh token.
func (c *Cache) settleApps(mine, theirs *Cache) {
	var hadMine, hadTheirs, has map[string]bool
	for id, e := range mine.in().apps {
		if theirs.in().apps[id] != nil || e.field[clientID] == "" {
			continue
		}
		if has == nil {
			hadMine, hadTheirs, has = mine.clients(), theirs.clients(), c.clients()
		}
		switch of := e.client(); {
		case hadMine[of] && !has[of]:
			delete(c.in().apps, id)
		case has[of] && !hadTheirs[of]:
			c.in().apps[id] = e
		}
	}
}

// clients returns the clients that have a token, with their clouds.
func (c *Cache) clients() map[string]bool {
	clients := make(map[string]bool)
	for _, g := range c.in().groups {
		for _, e := range g {
			if e.kind != accounts && !e.opaque() {
				clients[e.client()] = true
			}
		}
	}
	return clients
}

// client returns the entry's client, in its cloud.
func (e *entry) client() string {
	return fold(e.field[clientID]) + "\x00" + cloud(e.field[environment])
}
