package tokencache_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core/tokencache"
)

func TestALifetimeIsWhatCanBeKnownOfIt(t *testing.T) {
	for _, c := range []struct {
		sentence string
		r        tokencache.TokenResponse
		want     time.Duration
	}{
		{"the answer says", tokencache.TokenResponse{ExpiresIn: 60}, time.Minute},
		{"the answer says, whatever else does", tokencache.TokenResponse{AccessToken: idToken(`{"exp":1700001200}`), ExpiresIn: 60, ExpiresOn: noon.Unix() + 9}, time.Minute},
		{"the answer says when", tokencache.TokenResponse{ExpiresOn: noon.Unix() + 1800}, 30 * time.Minute},
		{"the answer says when, and that was before it was sent", tokencache.TokenResponse{ExpiresOn: noon.Unix() - 1}, time.Hour},
		{"nothing is known", tokencache.TokenResponse{}, time.Hour},
		{"the token says", tokencache.TokenResponse{AccessToken: idToken(`{"exp":1700001200.5}`)}, 20 * time.Minute},
		{"the token says, and its issuer's clock is behind", tokencache.TokenResponse{AccessToken: idToken(`{"iat":1600000000,"exp":1600001200}`)}, 20 * time.Minute},
		{"the token says, and its issuer's clock is ahead", tokencache.TokenResponse{AccessToken: idToken(`{"iat":1800000000,"exp":1800001200}`)}, 20 * time.Minute},
		{"the token says nothing that makes sense", tokencache.TokenResponse{AccessToken: idToken(`{"exp":"soon"}`)}, time.Hour},
		{"the token can't be read", tokencache.TokenResponse{AccessToken: "a.b%.c"}, time.Hour},
		{"it is huge", tokencache.TokenResponse{ExpiresIn: 9999999999}, 365 * 24 * time.Hour},
		{"it overflows", tokencache.TokenResponse{ExpiresIn: 1<<63 - 1, ExtExpiresIn: 1<<63 - 1, RefreshIn: 1<<63 - 1}, 365 * 24 * time.Hour},
		{"it is huge in the token", tokencache.TokenResponse{AccessToken: idToken(`{"exp":253402300799}`)}, 365 * 24 * time.Hour},
		{"it is over", tokencache.TokenResponse{ExpiresIn: -60}, -time.Minute},
		{"it was over before time began", tokencache.TokenResponse{ExpiresIn: -1 << 63}, -365 * 24 * time.Hour},
	} {
		t.Run(c.sentence, func(t *testing.T) {
			if c.r.AccessToken == "" {
				c.r.AccessToken = "at"
			}
			c.r.ClientID, c.r.Sent, c.r.HomeAccountID = clientA, noon, anaID
			cache := tokencache.New()
			put(t, cache, c.r)
			at, ok := cache.AccessToken(tokencache.Query{})
			if got := at.ExpiresOn.Sub(noon); !ok || got != c.want {
				t.Errorf("it lasts for %s, want %s", got, c.want)
			}
			if at.RefreshOn.After(at.ExpiresOn) {
				t.Errorf("it is to be refreshed at %s, after its end", at.RefreshOn)
			}
		})
	}
}

func TestATokenFromTheFutureIsRefusedUntilTheOtherClockIsKnown(t *testing.T) {
	c := tokencache.New()
	put(t, c, answer("ana@contoso.com", anaID, "fast", noon.Add(3*time.Hour)))
	token := func() tokencache.AccessToken {
		at, ok := c.AccessToken(ana)
		if !ok {
			t.Fatal("there is no token")
		}
		return at
	}
	if _, ok := token().At(noon); ok || !c.Expired(ana, noon) {
		t.Error("a token is trusted that was issued in three hours")
	}
	if at, ok := token().At(noon.Add(3*time.Hour - 4*time.Minute)); !ok || !at.ExpiresOn.Equal(noon.Add(4*time.Hour)) {
		t.Error("four minutes are no skew")
	}
	put(t, c, refreshed("ana@contoso.com", anaID, "right", noon.Add(time.Minute)))
	if at, ok := token().At(noon.Add(2 * time.Minute)); !ok || at.Secret != "at-right" || !at.ExpiresOn.Equal(noon.Add(61*time.Minute)) {
		t.Errorf("the machine's own token is %v until %s", ok, at.ExpiresOn)
	}
	put(t, c, refreshed("ana@contoso.com", anaID, "fast 2", noon.Add(3*time.Hour+2*time.Minute)))
	c = parse(t, marshal(t, c))
	at, ok := token().At(noon.Add(3 * time.Minute))
	if want := noon.Add(63 * time.Minute); !ok || at.Secret != "at-fast 2" || !at.ExpiresOn.Equal(want) || !at.CachedAt.Equal(noon.Add(3*time.Minute)) {
		t.Errorf("the other machine's token is %v from %s until %s, want %s", ok, at.CachedAt, at.ExpiresOn, want)
	}
	if again, ok := at.At(noon.Add(4 * time.Minute)); !ok || !again.ExpiresOn.Equal(at.ExpiresOn) {
		t.Error("its times were moved twice")
	}
	if at, ok := token().At(noon.Add(3*time.Hour + 3*time.Minute)); !ok || !at.ExpiresOn.Equal(noon.Add(4*time.Hour+2*time.Minute)) {
		t.Error("at the machine it comes from, its times were moved")
	}
	put(t, c, refreshed("ana@contoso.com", anaID, "faster", noon.Add(9*time.Hour)))
	if _, ok := token().At(noon.Add(4 * time.Minute)); ok {
		t.Error("a clock that is six hours further ahead is believed")
	}
}

// Every 30 seconds, one of two machines that hold no copy looks at the record,
// and refreshes if it finds nothing it may use.
func TestMachinesWhoseClocksDifferByHoursDoNotRefreshInTurns(t *testing.T) {
	for _, ahead := range []time.Duration{3 * time.Hour, 20 * time.Minute, -3 * time.Hour, 30 * 24 * time.Hour} {
		c := tokencache.New()
		refreshes, dead := 0, 0
		var issued time.Time // by the provider's clock, of the token that is stored
		const hours = 5
		for i := range hours * 120 {
			now := noon.Add(time.Duration(i) * 30 * time.Second)
			clock := now
			if i%2 == 0 {
				clock = now.Add(ahead)
			}
			at, ok := c.AccessToken(ana)
			if ok {
				at, ok = at.At(clock)
			}
			if ok && clock.Before(at.ExpiresOn) {
				if now.After(issued.Add(time.Hour + time.Minute)) { // the age that a token had when its machine's clock was learnt
					dead++
				}
				continue
			}
			refreshes++
			issued = now
			put(t, c, refreshed("ana@contoso.com", anaID, fmt.Sprint(i), clock))
			c = parse(t, marshal(t, c))
		}
		if refreshes > 3+2*(hours-1) || dead > 0 {
			t.Errorf("%s ahead: %d refreshes in %d hours, a dead token was served %d times", ahead, refreshes, hours, dead)
		}
	}
}

func TestAClientsOwnTokensAreItsOwnWhateverTheAnswerHasBeside(t *testing.T) {
	c := signedIn(t)
	r := answer("eve@contoso.com", "e.v", "app", noon)
	r.GrantType, r.FamilyID, r.HomeAccountID = "client_credentials", "1", "e.v"
	put(t, c, r)
	wantAccess(t, c, tokencache.Query{App: true}, "at-app")
	if got := c.Accounts(); len(got) != 2 {
		t.Errorf("a user came into being: %v", got)
	}
	if s := marshal(t, c); len(read(t, s)["RefreshToken"]) != 2 || len(read(t, s)["IdToken"]) != 2 {
		t.Errorf("there is more than an access token in %s", s)
	}
}

func TestClientInfoNamesOneAccountEverywhere(t *testing.T) {
	for info, want := range map[string]string{clientInfo("u", "t"): "u.t", "eyJ1aWQiOiJ1In0": "u.u", "eyJ1aWQiOiJ1In0=": "u.u", clientInfo("", "t"): "", "": "", "%": ""} {
		got, err := tokencache.HomeAccountID(info)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v", info, got, err)
		}
		if want == "" || info == "" {
			continue
		}
		c := tokencache.New()
		put(t, c, tokencache.TokenResponse{AccessToken: "at", ClientID: clientA, ClientInfo: info})
		if a := c.Accounts(); len(a) != 1 || a[0].HomeAccountID != want {
			t.Errorf("the accounts are %+v", a)
		}
	}
}
