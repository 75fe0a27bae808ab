// Package tokencache reads and writes MSAL's unified cache: the one JSON document in
// which MSAL Python, .NET, Java, Node and Go and python-o365 (2.1 and later) keep their
// tokens.
//
//	c, err := tokencache.Parse(data)
//	if err != nil {
//		return err
//	}
//	ana := tokencache.Query{Username: "ana@contoso.com", Scopes: []string{"User.Read"}}
//	if token, ok := c.AccessToken(ana); ok && time.Now().Before(token.ExpiresOn) {
//		use(token)
//	}
//
// The document has a section for access tokens, refresh tokens, ID tokens, accounts and
// applications. Its readers look at the fields of an entry. The key of an entry depends
// on its writer: MSAL Python and MSAL Go make different keys. So this package compares
// identities: of two entries for the same token, the newer counts, and the other is
// dropped. Sections, entries, fields and nulls that the package doesn't know stay as they
// are.
package tokencache

import (
	"errors"
	"maps"
	"slices"
	"strings"
)

var (
	// ErrCorrupt: the data is empty, cut off, or no token cache. Errors that wrap it tell
	// the place, and never quote the data.
	ErrCorrupt = errors.New("corrupt token cache")
	// ErrLegacyToken: the data is a token of python-o365 before 2.1, which can't be read
	// as a token cache. Package foreign converts it. Or else the user has to sign in again.
	ErrLegacyToken = errors.New("this is a token of python-o365 before 2.1, not a token cache: convert it with graphtoken import, or sign in again")
	// ErrAmbiguous: the query fits several users, or tokens of several providers.
	ErrAmbiguous = errors.New("several users or providers fit the query")
)

// Cache is a token cache in memory; the zero Cache is empty. Many goroutines may read it
// at once. A goroutine that changes it must be the only one that uses it. A Clone is
// independent.
type Cache struct {
	// The contents are in a function, because package fmt and other code that prints by
	// reflection can't look into one. Nil means an empty cache.
	held func() *contents
	// Unused. A struct of one pointer is stored in an interface as the pointer, and
	// go-spew 1.1.1 takes that for the address of the struct and crashes.
	_ uintptr
}

// contents are what a cache holds.
type contents struct {
	groups map[owner]group
	named  map[string]*namesakes // by user name, folded
	clouds map[string]int        // how many groups each cloud has
	apps   map[string]*entry     // AppMetadata, by identity
	extra  map[string]*entry     // what is none of the five sections, by name
}

var nothing contents

// in returns the cache's contents. The contents of an empty cache are only read.
func (c *Cache) in() *contents {
	if c.held == nil {
		return &nothing
	}
	return c.held()
}

func (in *contents) cache() *Cache { return &Cache{held: func() *contents { return in }} }

// owner is a user of one identity provider. Two providers may use the same ID for
// different users, who must not get each other's tokens.
type owner struct {
	home  string // the home account ID, folded; "" for the application itself
	cloud string // of the environment; see cloud
}

// group is what one owner has: accounts and tokens, one of each identity, in the order of
// byKey. Groups and entries are immutable, so that clones can share them.
type group []*entry

// namesakes are the owners that have, or had, accounts with one name. The list is
// immutable, so that clones share it and adding one costs the same however long the list
// is. Its readers compare the owners with the accounts.
type namesakes struct {
	owner
	next *namesakes
}

// New returns an empty cache.
func New() *Cache {
	in := &contents{
		groups: make(map[owner]group),
		named:  make(map[string]*namesakes),
		clouds: make(map[string]int),
		apps:   make(map[string]*entry),
		extra:  make(map[string]*entry),
	}
	return in.cache()
}

// Clone returns an independent copy.
func (c *Cache) Clone() *Cache {
	in := c.in()
	if in.groups == nil {
		return New()
	}
	copied := &contents{maps.Clone(in.groups), maps.Clone(in.named), maps.Clone(in.clouds), maps.Clone(in.apps), maps.Clone(in.extra)}
	return copied.cache()
}

// Replace makes c a copy of o.
func (c *Cache) Replace(o *Cache) { *c = *o.Clone() }

// IsEmpty reports whether c has nothing for which a record would be made: no account, no
// token, and nothing that this package doesn't know. AppMetadata alone, which remains
// after a sign-out, counts as nothing.
func (c *Cache) IsEmpty() bool { return len(c.in().groups) == 0 && len(c.in().extra) == 0 }

// setGroup replaces what one owner has.
func (c *Cache) setGroup(of owner, g group) {
	if c.in().groups == nil {
		*c = *New()
	}
	in := c.in()
	before, there := in.groups[of]
	if there {
		in.clouds[of.cloud]--
		if in.clouds[of.cloud] == 0 {
			delete(in.clouds, of.cloud)
		}
	}
	if len(g) == 0 {
		delete(in.groups, of)
		return
	}
	in.groups[of] = g
	in.clouds[of.cloud]++
	known := before.usernames()
	for _, name := range g.usernames() {
		if _, found := slices.BinarySearch(known, name); !found {
			in.named[name] = &namesakes{of, in.named[name]}
		}
	}
}

// usernames returns the user names of the group's accounts, in lower case and in order.
func (g group) usernames() []string {
	var names []string
	for _, e := range g {
		if e.kind == accounts && e.field[username] != "" {
			names = append(names, fold(e.field[username]))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// fold makes texts comparable that MSAL compares without regard to case.
func fold(s string) string { return strings.ToLower(s) }
