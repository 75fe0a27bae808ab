//go:build unix && !darwin && !linux

package filesystem

// sinceBoot: this system's number of a run of the machine isn't known here.
func sinceBoot() (boot string, up int64) { return "", 0 }
