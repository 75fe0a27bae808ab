// Package tokencache is a skeleton: its real files replace this one.
package tokencache

import (
	"errors"
	"time"
)

var (
	ErrCorrupt     = errors.New("corrupt token cache")
	ErrLegacyToken = errors.New("legacy token of python-o365 before 2.1")
	ErrAmbiguous   = errors.New("several users match")
)

type Cache struct{}

func New() *Cache                       { return &Cache{} }
func Parse(data []byte) (*Cache, error) { return &Cache{}, nil }
func (c *Cache) Marshal() ([]byte, error) {
	return []byte("{}"), nil
}
func (c *Cache) Clone() *Cache                            { return c }
func (c *Cache) Replace(o *Cache)                         {}
func (c *Cache) Accounts() []Account                      { return nil }
func (c *Cache) Account(q Query) (Account, bool)          { return Account{}, false }
func (c *Cache) AccessToken(q Query) (AccessToken, bool)  { return AccessToken{}, false }
func (c *Cache) RefreshToken(q Query) (RefreshToken, bool) { return RefreshToken{}, false }
func (c *Cache) IDToken(q Query) (IDToken, bool)          { return IDToken{}, false }
func (c *Cache) Put(r TokenResponse) error                { return nil }
func (c *Cache) DropAccessToken(q Query) bool             { return false }
func (c *Cache) Remove(q Query) bool                      { return false }
func (c *Cache) Expired(q Query, now time.Time) bool      { return false }
func (c *Cache) LongLived(q Query) bool                   { return false }
func (c *Cache) Ambiguous(q Query) bool                   { return false }
func Merge(base, mine, theirs *Cache) *Cache              { return theirs }

type Query struct {
	Username, HomeAccountID, ClientID, Tenant string
	Scopes                                    []string
	App                                       bool
}
type Secret string

func (s Secret) Reveal() string { return string(s) }

type Account struct {
	HomeAccountID, Environment, Realm, LocalAccountID, Username, AuthorityType string
}
type AccessToken struct {
	Secret                                                 Secret
	ExpiresOn, CachedAt, RefreshOn                         time.Time
	Scopes                                                 []string
	HomeAccountID, ClientID, Realm, Environment, TokenType string
}
type RefreshToken struct {
	Secret                                     Secret
	Scopes                                     []string
	HomeAccountID, ClientID, Environment, FamilyID string
	LastModified                               time.Time
}
type IDToken struct {
	Secret                                      Secret
	HomeAccountID, ClientID, Realm, Environment string
}
type TokenResponse struct {
	AccessToken, RefreshToken, IDToken, ClientInfo, Scope, TokenType, FamilyID string
	ExpiresIn, ExtExpiresIn, RefreshIn                                         int
	ClientID, Environment, Tenant, HomeAccountID                               string
	Sent                                                                       time.Time
}
