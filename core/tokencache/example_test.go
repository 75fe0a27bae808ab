package tokencache_test

import (
	"fmt"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

func Example() {
	// python-o365 or an MSAL wrote this record.
	cache, err := tokencache.Parse([]byte(`{
		"Account": {"1": {"home_account_id": "u.t", "username": "ana@contoso.com", "realm": "common"}},
		"AccessToken": {"2": {"home_account_id": "u.t", "target": "Mail.Read User.Read", "secret": "eyJ0…", "expires_on": "1700003600"}},
		"RefreshToken": {"3": {"home_account_id": "u.t", "secret": "0.AX…"}}
	}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	ana := tokencache.Query{Username: "Ana@contoso.com", Scopes: []string{"https://graph.microsoft.com/User.Read"}}
	token, ok := cache.AccessToken(ana)
	fmt.Println(ok, token.Secret, len(token.Secret.Reveal()))
	fmt.Println("expired:", cache.Expired(ana, time.Unix(1_700_003_600, 0)))
	fmt.Println("can be refreshed:", cache.LongLived(ana))
	fmt.Println(cache)
	// Output:
	// true [secret, 7 bytes] 7
	// expired: true
	// can be refreshed: true
	// [token cache, 1 users]
}
