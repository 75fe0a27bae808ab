package tokencache

import "slices"

// Merge returns what is to be stored when mine was made of base, and theirs
// was stored meanwhile. A nil cache is an empty one. None of them is changed.
//
// What one side alone changed counts. Where both did, it goes user by user:
//
//   - A sign-out (the user is gone with all tokens) wins over a refresh, which
//     changed tokens of a user who was there before. It loses to a new
//     sign-in: a Put with the GrantType of one, or a user who was not in base.
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
	for home, m := range mine.groups {
		merged.mergeGroup(home, base.groups[home], m)
	}
	for home, b := range base.groups {
		if _, kept := mine.groups[home]; !kept {
			merged.mergeGroup(home, b, nil)
		}
	}
	mergeMaps(base.apps, mine.apps, merged.apps, equal)
	mergeMaps(base.extra, mine.extra, merged.extra, func(a, b string) bool { return a == b || compact(a) == compact(b) })
	return merged
}

// mergeGroup merges mine into one user's group of c, which is theirs.
func (c *Cache) mergeGroup(home string, base, mine group) {
	theirs := c.groups[home]
	if mine.equal(base) || mine.equal(theirs) {
		return
	}
	if theirs.equal(base) {
		c.setGroup(home, mine)
		return
	}
	if home != "" {
		switch {
		case len(mine) == 0:
			if !theirs.signedInSince(base) {
				c.setGroup(home, nil)
			}
			return
		case len(theirs) == 0:
			if mine.signedInSince(base) {
				c.setGroup(home, mine)
			}
			return
		}
	}
	c.setGroup(home, mergeEntries(base, mine, theirs))
}

// mergeEntries merges identity by identity.
func mergeEntries(base, mine, theirs group) group {
	var merged group
	for _, t := range theirs {
		b, m := base.like(t), mine.like(t)
		switch {
		case m == nil:
			if b == nil || !equal(b, t) {
				merged = append(merged, t) // theirs is new, or changed
			}
		case b != nil && equal(b, m):
			merged = append(merged, t)
		case b != nil && equal(b, t):
			merged = append(merged, m)
		default:
			merged = append(merged, newer(mine, m, theirs, t))
		}
	}
	for _, m := range mine {
		if theirs.like(m) == nil {
			if b := base.like(m); b == nil || !equal(b, m) {
				merged = append(merged, m)
			}
		}
	}
	return merged.collapse()
}

// like returns the entry of the same identity.
func (g group) like(e *entry) *entry {
	if i := slices.IndexFunc(g, func(o *entry) bool { return sameIdentity(o, e) }); i >= 0 {
		return g[i]
	}
	return nil
}

func (g group) equal(o group) bool {
	if len(g) != len(o) {
		return false
	}
	for _, e := range g {
		if i := slices.IndexFunc(o, func(x *entry) bool { return x.kind == e.kind && x.key == e.key }); i < 0 || !equal(e, o[i]) {
			return false
		}
	}
	return true
}

// signedInSince reports whether the user signed in since base: was not there,
// or has an account that says so.
func (g group) signedInSince(base group) bool {
	if len(base) == 0 {
		return true
	}
	return g.lastSignIn() > base.lastSignIn()
}

func (g group) lastSignIn() (at int64) {
	for _, e := range g {
		if e.kind == accounts {
			at = max(at, e.number(modifiedAt))
		}
	}
	return at
}

// mergeMaps merges mine into theirs, key by key.
func mergeMaps[V any](base, mine, theirs map[string]V, equal func(a, b V) bool) {
	for k, m := range mine {
		b, inBase := base[k]
		t, inTheirs := theirs[k]
		if inBase && equal(b, m) {
			continue // theirs counts, be it a change or a removal
		}
		if inTheirs == inBase && (!inTheirs || equal(b, t)) {
			theirs[k] = m
		}
	}
	for k, b := range base {
		if _, kept := mine[k]; kept {
			continue
		}
		if t, ok := theirs[k]; ok && equal(b, t) {
			delete(theirs, k)
		}
	}
}
