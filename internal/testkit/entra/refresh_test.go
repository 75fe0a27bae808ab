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
	if one.Refresh == two.Refresh || one.Refresh == first.Refresh {
		t.Error("two refreshes brought one refresh token")
	}
	app.refresh(one.Refresh).must(t)
	if g := app.idp.Grants(); g.ReuseDetected != 0 || g.RefreshesSucceeded != 3 {
		t.Errorf("counted %+v", g)
	}
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
	if g.ReuseDetected != 1 || g.FamiliesRevoked != 1 {
		t.Errorf("reuse %d, families revoked %d; want 1, 1", g.ReuseDetected, g.FamiliesRevoked)
	}
}

func TestWithinTheGraceReuseBringsTheSameSuccessor(t *testing.T) {
	now := newClock()
	app := start(t, entra.Options{Strict: true, ReuseGrace: 10 * time.Second, Clock: now.Now})
	first := app.signIn()
	next := app.refresh(first.Refresh).must(t)
	now.Advance(10 * time.Second)
	again := app.refresh(first.Refresh).must(t)
	if again.Refresh != next.Refresh || again.Access != next.Access {
		t.Error("the grace brought another successor")
	}
	if left := again.fields["expires_in"].(float64); left != 3590 {
		t.Errorf("expires_in is %v, and 10 s of 3600 are over", left)
	}
	other := app.refresh(first.Refresh, "scope", "Mail.Send").must(t)
	if other.Refresh != next.Refresh || other.Access == next.Access {
		t.Error("other scopes want another access token and the same successor")
	}
	now.Advance(time.Second)
	app.refresh(first.Refresh).refused(t, "invalid_grant", 70000)
	app.refresh(next.Refresh).refused(t, "invalid_grant", 50173)
	if g := app.idp.Grants(); g.ReuseGraced != 2 || g.ReuseDetected != 1 || g.FamiliesRevoked != 1 {
		t.Errorf("counted %+v", g)
	}
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
	if c := app.idp.Graph().Calls(); c.OK != 3 || c.Unauthorized != 3 || c.Expired != 1 || c.Revoked != 2 {
		t.Errorf("Graph counted %+v", c)
	}
}
