package simulation

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// history is what happened in a run, in the order of virtual time.
type history struct {
	mu    sync.Mutex
	start time.Time
	lines []line
}

type line struct {
	at    time.Duration
	who   string
	words []string
}

// note adds a line. Any goroutine may call it: lines of the same moment are sorted by their text.
func (h *history) note(who string, words ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.lines = append(h.lines, line{time.Since(h.start), who, words})
}

// String prints a line for each event: the time, the process, the operation and its result.
func (h *history) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	slices.SortStableFunc(h.lines, func(a, b line) int {
		return cmp.Or(cmp.Compare(a.at, b.at), cmp.Compare(a.who, b.who), slices.Compare(a.words, b.words))
	})
	var b strings.Builder
	for _, l := range h.lines {
		fmt.Fprintf(&b, "%16s  %-10s %s\n", stamp(l.at), l.who, strings.Join(l.words, " "))
	}
	return b.String()
}

// stamp prints a time since the start of the run, to the nanosecond, in columns.
func stamp(d time.Duration) string {
	return fmt.Sprintf("%d:%02d:%02d.%09d", d/time.Hour, d/time.Minute%60, d/time.Second%60, d%time.Second)
}
