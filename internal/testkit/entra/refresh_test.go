package entra_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

func TestARefreshTokenSurvivesItsUseUnlessStrict(t *testing.T) {
	app := start(t, entra.Options{})
	first := app.signIn()
	one := app.refresh(first.Refresh).must(t)
	two := app.refresh(first.Refresh).must(t)
	if one.Refresh == first.Refresh {
		t.Error("a refresh brought the refresh token that it was asked with")
	}
	if one.Refresh == two.Refresh {
		t.Error("two refreshes brought one refresh token")
	}
	app.refresh(one.Refresh).must(t)
	g := app.idp.Grants()
	wantEqual(t, "spent refresh tokens", g.ReuseDetected, 0)
	wantEqual(t, "refreshes that succeeded", g.RefreshesSucceeded, 3)
}

func TestReuseRevokesTheWholeFamilyAndNoOther(t *testing.T) {
	app := start(t, entra.Options{Strict: true})
	mine, other := app.signIn(), app.signIn()
	next := app.refresh(mine.Refresh).must(t)
	last := app.refresh(next.Refresh).must(t)

	app.refresh(mine.Refresh).refused(t, "invalid_grant", 70000)
	app.refresh(last.Refresh).refused(t, "invalid_grant", 50173)
	app.refresh(other.Refresh).must(t)
	g := app.idp.Grants()
	wantEqual(t, "spent refresh tokens", g.ReuseDetected, 1)
	wantEqual(t, "revoked families", g.FamiliesRevoked, 1)
}

func TestWithinTheGraceReuseBringsTheSameSuccessor(t *testing.T) {
	now := newClock()
	app := start(t, entra.Options{Strict: true, ReuseGrace: 10 * time.Second, Clock: now.Now})
	first := app.signIn()
	next := app.refresh(first.Refresh).must(t)
	now.Advance(10 * time.Second)
	again := app.refresh(first.Refresh).must(t)
	wantEqual(t, "the refresh token", again.Refresh, next.Refresh)
	wantEqual(t, "the access token", again.Access, next.Access)
	if left := again.fields["expires_in"].(float64); left != 3590 {
		t.Errorf("expires_in is %v, and 10 s of 3600 are over", left)
	}
	other := app.refresh(first.Refresh, "scope", "Mail.Send").must(t)
	if other.Refresh != next.Refresh {
		t.Error("within the grace, a request for other scopes got another refresh token")
	}
	if other.Access == next.Access {
		t.Error("a request for other scopes got the access token of the first")
	}
	now.Advance(time.Second)
	app.refresh(first.Refresh).refused(t, "invalid_grant", 70000)
	app.refresh(next.Refresh).refused(t, "invalid_grant", 50173)
	g := app.idp.Grants()
	wantEqual(t, "spent refresh tokens within the grace", g.ReuseGraced, 2)
	wantEqual(t, "spent refresh tokens", g.ReuseDetected, 1)
	wantEqual(t, "revoked families", g.FamiliesRevoked, 1)
}

func TestARefreshTokenIsItsClientsAndItsTenantsAndDiesOfAge(t *testing.T) {
	now := newClock()
	app := start(t, entra.Options{Clock: now.Now})
	first := app.signIn()
	app.refresh(first.Refresh, "client_id", entra.ConfidentialClient, "client_secret", entra.ConfidentialSecret).refused(t, "invalid_grant", 70000)
	app.refresh("1.made-up").refused(t, "invalid_grant", 9002313)
	app.refresh("").refused(t, "invalid_request", 900144)
	r, err := app.try("consumers", form("client_id", entra.PublicClient, "grant_type", entra.Refresh, "refresh_token", first.Refresh))
	if err != nil {
		t.Fatal(err)
	}
	r.refused(t, "invalid_grant", 50020)
	now.Advance(91 * 24 * time.Hour)
	app.refresh(first.Refresh).refused(t, "invalid_grant", 700082)
}

func TestAnAnswerMayOmitTheRefreshToken(t *testing.T) {
	app := start(t, entra.Options{Strict: true})
	first := app.signIn()
	app.idp.Inject(entra.Refresh, entra.Fault{OmitRefreshToken: true})
	if r := app.refresh(first.Refresh).must(t); r.Refresh != "" {
		t.Error("it was not omitted")
	}
	app.refresh(first.Refresh).must(t) // the old one is still the good one
}

func TestAnAccessTokenLivesAsLongAsItSaysAndNoLongerThanItIsLetTo(t *testing.T) {
	now := newClock()
	now.Advance(300 * time.Millisecond) // tokens count whole seconds
	app := start(t, entra.Options{Clock: now.Now, Lifetime: 2 * time.Second})
	first := app.signIn()
	call := func(want int) {
		t.Helper()
		if got := me(t, app.idp.HTTPClient(), first.Access); got != want {
			t.Errorf("Graph answered %d, want %d", got, want)
		}
	}
	now.Advance(2*time.Second - time.Millisecond)
	call(http.StatusOK)
	now.Advance(time.Second)
	call(http.StatusUnauthorized)

	app.idp.SetLifetime(time.Hour)
	first = app.refresh(first.Refresh).must(t)
	call(http.StatusOK)
	app.idp.RevokeAccess("ANA@contoso.com")
	call(http.StatusUnauthorized)
	first = app.refresh(first.Refresh).must(t)
	call(http.StatusOK)
	app.idp.Revoke(entra.Ana)
	call(http.StatusUnauthorized)
	app.refresh(first.Refresh).refused(t, "invalid_grant", 50173)
	c := app.idp.Graph().Calls()
	wantEqual(t, "calls that Graph answered", c.OK, 3)
	wantEqual(t, "calls that Graph refused", c.Unauthorized, 3)
	wantEqual(t, "calls with an expired token", c.Expired, 1)
	wantEqual(t, "calls with a revoked token", c.Revoked, 2)
}
