package conformance

import (
	"fmt"
	"strings"
)

// Version names the suite in reports: its set of cases, and the report's own form.
const Version = "v0.1.0"

// Report is the result of Check. As JSON it is one object with the keys version, backend,
// capabilities, profiles and cases.
type Report struct {
	Version      string       `json:"version"`      // the suite's
	Backend      string       `json:"backend"`      // Harness.Name, or the backend's Go type
	Capabilities Capabilities `json:"capabilities"` // as claimed
	Profiles     []Profile    `json:"profiles"`
	Cases        []Case       `json:"cases"`
}

// Case is one case's result.
type Case struct {
	Name        string  `json:"name"`        // group/case
	Requirement string  `json:"requirement"` // what must hold, in a sentence
	Outcome     Outcome `json:"outcome"`
	Detail      string  `json:"detail"` // what was seen instead, or why the case was skipped
}

// Outcome is how a case ended.
type Outcome string

// The outcomes of a case.
const (
	Passed  Outcome = "passed"
	Failed  Outcome = "failed"
	Skipped Outcome = "skipped"
)

// Profile is a promise with a name.
type Profile struct {
	// Name is "core", which every backend must keep, or "coordinated". The second adds
	// what several processes need to share a token: versions that are enforced, and
	// leases that expire and that ShouldRefresh uses.
	Name string `json:"name"`
	// Holds is true if every case of the profile passed, except cases that need a
	// capability that isn't claimed, or something that the Env can't do.
	Holds bool `json:"holds"`
	// Detail names the obstacle.
	Detail string `json:"detail"`
}

// profiles computes both profiles from the results of a whole run.
func (w Capabilities) profiles(results []result) []Profile {
	core, coordinated := []string(nil), []string(nil)
	if missing := w.lacks(ofCoordination); missing != "" {
		coordinated = append(coordinated, missing)
	}
	for _, r := range results {
		if r.Outcome == Passed || r.excused {
			continue
		}
		broken := r.Name + " " + string(r.Outcome)
		coordinated = append(coordinated, broken)
		if r.needs&ofCoordination == 0 {
			core = append(core, broken)
		}
	}
	profile := func(name string, broken []string) Profile {
		return Profile{Name: name, Holds: broken == nil, Detail: strings.Join(broken, "; ")}
	}
	return []Profile{profile("core", core), profile("coordinated", coordinated)}
}

// typeName is a backend's name if the harness gives it none.
func typeName(backend any) string {
	return strings.TrimPrefix(fmt.Sprintf("%T", backend), "*")
}
