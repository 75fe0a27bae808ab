package interop

import (
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

// The order of turns: o is this collection's, t the other library's. Each comes
// after the other, and twice in a row.
const (
	order = "ttootottootooottooottoototottooottotooto"
	// After a sign-in that names no library, the other one's first turn puts a
	// refresh token under its own key beside ours, and a second in a row would
	// take either. Once this collection has had a turn, there is one.
	orderUnnamed = "tootootottootooottooottoototottooottotoo"
)

// ways are what makes a turn need a new token.
var ways = []struct {
	name     string
	tenant   string
	lifetime time.Duration
	turn     func(party, *testing.T) (string, error)
	good     bool // the new token is good for the other program, too
}{
	{"few minutes are left", "common", fewMinutes, party.token, false},
	{"each insists on it", entra.Tenant, time.Hour, party.refresh, true},
}

// signIns are whose the sign-in is.
var signIns = []struct {
	name, order string
	ours, named bool
}{
	{"the other signs in", order, false, false},
	{"this collection signs in, and names the other", order, true, true},
	{"this collection signs in", orderUnnamed, true, false},
}

func TestAnotherMSALAndThisCollectionTakeTurnsAtOneRecord(t *testing.T) {
	for _, l := range libraries {
		for _, way := range ways {
			for _, first := range signIns {
				t.Run(l.name+", "+way.name+", "+first.name, func(t *testing.T) {
					t.Parallel()
					p := newPlace(t)
					p.idp.SetLifetime(way.lifetime)
					tenant := way.tenant
					if l.name == "MSAL Node" {
						tenant = entra.Tenant // it files tokens there, whatever the authority
					}
					us, them := p.ours(t, tenant), p.theirs(t, l, tenant)
					if first.named {
						us.keys = l.keys
					}
					parties := map[rune]party{'o': us, 't': them}
					signIn := them.signIn
					if first.ours {
						signIn = us.signIn
					}
					if err := signIn(t); err != nil {
						t.Fatal(err)
					}
					failed := 0
					for n, who := range first.order {
						who, other := parties[who], parties['o'+'t'-who]
						if n >= len(order)/2 || first.ours && !first.named { // MSAL for Java never forgets the key it saw
							who.restart(t)
						}
						if !p.turn(t, n, who, other, way.turn, way.good) {
							failed++
						}
					}
					if n := len(p.document(t)["RefreshToken"]); n != 1 {
						t.Errorf("%d refresh tokens are in the record", n)
					}
					if g := p.idp.Grants(); failed > 0 || g.ReuseDetected > 0 {
						t.Errorf("%d of %d turns failed, %d refresh tokens were sent again", failed, len(order), g.ReuseDetected)
					}
				})
			}
		}
	}
}

// turn has one party take it, and the other one look at what is there if that
// is good for it.
func (p place) turn(t *testing.T, n int, who, other party, take func(party, *testing.T) (string, error), good bool) (ok bool) {
	t.Helper()
	before := p.idp.Grants()
	token, err := take(who, t)
	after := p.idp.Grants()
	requests, refreshes := after.Total.Received-before.Total.Received, after.RefreshesSucceeded-before.RefreshesSucceeded
	if err != nil {
		t.Errorf("turn %d: %v", n, err)
		return false
	}
	if requests != 1 || refreshes != 1 {
		t.Errorf("turn %d: %s sent %d requests, and refreshed %d times", n, who, requests, refreshes)
		return false
	}
	if !good {
		return true
	}
	got, err := other.look(t)
	if err != nil || got != token {
		t.Errorf("turn %d: %s doesn't find the token that %s obtained (%v)", n, other, who, err)
		return false
	}
	if n := p.idp.Grants().Total.Received - after.Total.Received; n != 0 {
		t.Errorf("turn %d: %s asks for a token, and one is there", n, other)
		return false
	}
	return true
}
