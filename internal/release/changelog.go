package main

import (
	"fmt"
	"regexp"
	"strings"
)

// heading is a version's heading in CHANGELOG.md (https://keepachangelog.com/en/1.1.0/):
// "## [0.1.0] - 2026-12-01", without a date until it is released.
var heading = regexp.MustCompile(`^## \[([^\]]+)\](?: - (\d{4}-\d{2}-\d{2}))?\s*$`)

// checkChangelog says what a changelog lacks for the release of a version. A
// release that is tagged needs a date, and nothing left under Unreleased.
func checkChangelog(text, version string, tagged bool) error {
	dates := map[string]string{}
	content := map[string]string{}
	section := ""
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "[") && strings.Contains(line, "]: ") {
			continue // where a link goes
		}
		if strings.HasPrefix(line, "## ") {
			found := heading.FindStringSubmatch(strings.TrimRight(line, "\n"))
			if found == nil {
				return fmt.Errorf("CHANGELOG.md: %q is not of the form ## [0.1.0] - 2026-12-01", strings.TrimSpace(line))
			}
			section = found[1]
			dates[section] = found[2]
			continue
		}
		content[section] += strings.TrimSpace(line)
	}
	number := strings.TrimPrefix(version, "v")
	switch {
	case content[number] == "":
		return fmt.Errorf("CHANGELOG.md: the section ## [%s] is missing or empty", number)
	case tagged && dates[number] == "":
		return fmt.Errorf("CHANGELOG.md: the heading of %s needs the day of its release: ## [%s] - 2026-12-01", number, number)
	case tagged && content["Unreleased"] != "":
		return fmt.Errorf("CHANGELOG.md: what stands under Unreleased would be released without being in the section of %s: move it there", number)
	}
	return nil
}
