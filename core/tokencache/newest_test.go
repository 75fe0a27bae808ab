package tokencache_test

import (
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

// After the user has agreed to more, a token from before has less in it, also where it
// answers the same query and lives longer.
func TestOfTwoTokensThatCoverAQueryTheNewestCounts(t *testing.T) {
	now := time.Now()
	for what, row := range map[string]struct {
		older, newer string
		asked        string
	}{
		"the newer one has fewer scopes":  {"User.Read Mail.Read", "User.Read", "User.Read"},
		"all that was agreed to is asked": {"User.Read Mail.Read", "User.Read Files.Read", "https://graph.microsoft.com/.default"},
		"both have more than is asked":    {"User.Read Mail.Read", "User.Read Files.Read", "User.Read"},
	} {
		t.Run(what, func(t *testing.T) {
			for _, lives := range []int{3600, 5400, 86400} { // the older one
				c := tokencache.New()
				for _, token := range []struct {
					secret, scope string
					lives         int
					sent          time.Time
				}{{"older", row.older, lives, now.Add(-10 * time.Minute)}, {"newer", row.newer, 3700, now}} {
					if err := c.Put(tokencache.TokenResponse{
						AccessToken: token.secret, Scope: token.scope, ExpiresIn: token.lives, Sent: token.sent, ClientID: "app", HomeAccountID: "uid.utid",
					}); err != nil {
						t.Fatal(err)
					}
				}
				if got, found := c.AccessToken(tokencache.Query{Scopes: []string{row.asked}}); !found || got.Secret.Reveal() != "newer" {
					t.Errorf("beside a token of %d s, the one found is the %s", lives, got.Secret.Reveal())
				}
			}
		})
	}
}
