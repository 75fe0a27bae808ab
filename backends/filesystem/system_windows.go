package filesystem

import (
	"os"
	"strings"
)

// mayWrite reports only whether the directory exists: a try shows the rest.
func mayWrite(dir string) error {
	_, err := os.Stat(dir)
	return err
}

// lockDirectory does nothing: a lock that is held is an open file, and Windows removes no
// open file.
func lockDirectory(*os.File, bool) (bool, error) { return true, nil }

// sinceBoot: Windows has no number that tells one run of a machine from another.
func sinceBoot() (boot string, up int64) { return "", 0 }

// forbiddenByOS reports the characters that no file name can have.
func forbiddenByOS(c rune) bool { return c < ' ' || strings.ContainsRune(`/\:*?"<>|`, c) }

// reservedByOS reports the names that mean devices, with any extension or none, and the
// names that Windows shortens.
func reservedByOS(name string) bool {
	if strings.HasSuffix(name, ".") || strings.HasSuffix(name, " ") {
		return true
	}
	device, _, _ := strings.Cut(strings.ToUpper(name), ".")
	switch device = strings.TrimRight(device, " "); device {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	n := len(device)
	return n == 4 && (device[:3] == "COM" || device[:3] == "LPT") && '0' <= device[3] && device[3] <= '9'
}
