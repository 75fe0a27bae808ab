package conformance

import (
	"fmt"
	"path"
	"runtime"
	"strings"
)

// group is cases on one subject; its name is the first part of theirs.
type group struct {
	name  string
	cases []testCase
}

// testCase is one requirement and how it is tried.
type testCase struct {
	name  string
	must  requirement
	needs need
	run   func(c *trial)
}

// suite lists the groups in the order in which they run: a later group relies on what an
// earlier one has tried.
func suite() []group {
	return []group{
		{"claims", claims()},
		{"basics", basics()},
		{"keys", keys()},
		{"payload", payload()},
		{"versions", versions()},
		{"context", contexts()},
		{"leases", leases()},
		{"watch", watch()},
		{"refresh", refresh()},
		{"list", list()},
		{"store", store()},
		{"outage", outage()},
		{"large", large()},
		{"many", many()},
		{"redaction", redaction()},
		{"model", model()},
	}
}

// requirement is a sentence and the line it stands on.
type requirement struct{ sentence, source string }

// must is called on the line by which the requirement is found.
func must(sentence string) requirement {
	return requirement{sentence, caller(1)}
}

// caller returns the source line skip frames above its caller, in a short form that an
// editor can open.
func caller(skip int) string {
	_, file, line, _ := runtime.Caller(skip + 1)
	return source(file, line)
}

func source(file string, line int) string {
	return fmt.Sprintf("%s/%s:%d", path.Base(path.Dir(file)), path.Base(file), line)
}

// need is a condition without which a case can't be tried.
type need uint

const (
	detects need = 1 << iota
	enforced
	coordinates
	lease
	expires
	watches
	lists
	pings
	limited
	corrupts
	raws
	fails

	ofEnv          = corrupts | raws | fails
	ofCoordination = enforced | coordinates | lease | expires
)

// lacks returns what a case needs and the backend doesn't claim, or "".
func (w Capabilities) lacks(n need) string {
	var missing []string
	for _, c := range []struct {
		need need
		has  bool
		name string
	}{
		{detects, w.CAS >= CASDetects, "CASDetects"},
		{enforced, w.CAS >= CASEnforced, "CASEnforced"},
		{coordinates, w.Coordinates, "Coordinates"},
		{lease, w.Lease, "Lease"},
		{expires, w.LeaseExpires, "LeaseExpires"},
		{watches, w.Watch, "Watch"},
		{lists, w.List, "List"},
		{pings, w.Ping, "Ping"},
		{limited, w.MaxSize > 0, "MaxSize"},
	} {
		if n&c.need != 0 && !c.has {
			missing = append(missing, c.name)
		}
	}
	if missing == nil {
		return ""
	}
	return "the backend does not claim " + strings.Join(missing, ", ")
}

// lacks returns what a case needs and the Env can't do, or "".
func (k tools) lacks(n need) string {
	switch {
	case n&corrupts != 0 && k.corrupt == nil:
		return "the harness's Env is no Corrupter"
	case n&raws != 0 && k.raw == nil:
		return "the harness's Env is no Rawer"
	case n&fails != 0 && k.fail == nil:
		return "the harness's Env is no Failer"
	}
	return ""
}
