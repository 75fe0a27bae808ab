package tokencache

import (
	"maps"
	"slices"
)

// Merge returns what is to be stored when mine was made of base, and theirs
// was stored meanwhile. A nil cache is an empty one. None of them is changed.
//
// What one side alone changed counts. Where both did, it goes user by user, and
// a user of two providers counts as two:
//
//   - A sign-out (the user's account is gone) wins over a refresh, which changed
//     tokens of a user who was there before. It loses to a new sign-in: a Put
//     with the GrantType of one, or a user who was not in base.
//   - Otherwise, of two changes to the same token, the newer wins; a refresh
//     token takes its access token's stamp. In a tie what is stored wins.
//   - A change wins over the removal of a single token.
func Merge(base, mine, theirs *Cache) *Cache {
	for _, c := range []**Cache{&base, &mine, &theirs} {
		if *c == nil {
			*c = New()
		}
	}
	merged := theirs.Clone()
	for of, m := range mine.groups {
		merged.mergeGroup(of, base.groups[of], m)
	}
	for of, b := range base.groups {
		if _, kept := mine.groups[of]; !kept {
			merged.mergeGroup(of, b, nil)
		}
	}
	mergeMaps(base.apps, mine.apps, merged.apps)
	mergeMaps(base.extra, mine.extra, merged.extra)
	return merged
}

// mergeGroup merges mine into one owner's group of c, which is theirs.
func (c *Cache) mergeGroup(of owner, base, mine group) {
	theirs := c.groups[of]
	switch {
	case mine.equal(base) || mine.equal(theirs):
	case theirs.equal(base):
		c.setGroup(of, mine)
	case of.home != "" && mine.signedOut(base) && !theirs.signedInSince(base):
		c.setGroup(of, mine)
	case of.home != "" && theirs.signedOut(base) && !mine.signedInSince(base):
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
	for id := range either {
		if e := pick(b[id], m[id], t[id], func() *entry { return newer(mine, m[id], theirs, t[id]) }); e != nil {
			merged = append(merged, e)
		}
	}
	return merged.collapse()
}

// pick returns what becomes of one entry. Where both sides changed it, decide
// says.
func pick(base, mine, theirs *entry, decide func() *entry) *entry {
	switch {
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

// signedOut reports whether the user was in base and is no more. MSAL leaves
// tokens of other clients behind.
func (g group) signedOut(base group) bool {
	return len(g) == 0 || base.hasAccount() && !g.hasAccount()
}

func (g group) hasAccount() bool {
	return slices.ContainsFunc(g, func(e *entry) bool { return e.kind == accounts && !e.opaque() })
}

// signedInSince reports whether the user signed in since base: was not there,
// or has an account that says so.
func (g group) signedInSince(base group) bool {
	return len(base) == 0 || g.lastSignIn() > base.lastSignIn()
}

func (g group) lastSignIn() (at int64) {
	for _, e := range g {
		if e.kind == accounts {
			at = max(at, e.number(modifiedAt))
		}
	}
	return at
}
