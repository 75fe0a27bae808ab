package bearer_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/core/bearer"
)

func TestRetryAfterIsReadInBothOfItsForms(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, row := range []struct {
		that, header, date string
		want               time.Duration
	}{
		{"seconds", "120", "", 2 * time.Minute},
		{"blanks around it don't matter", " 7 ", "", 7 * time.Second},
		{"none is no wait", "", "", 0},
		{"a negative number is no wait", "-5", "", 0},
		{"an hour is the most", "86400", "", time.Hour},
		{"a number that no integer holds is the most", "99999999999999999999", "", time.Hour},
		{"a date counts from the answer's", "Fri, 02 Jan 2026 10:01:00 GMT", "Fri, 02 Jan 2026 10:00:00 GMT", time.Minute},
		{"a date without the answer's counts from now", "Fri, 02 Jan 2026 03:04:35 GMT", "", 30 * time.Second},
		{"a date that is past is no wait", "Fri, 02 Jan 2026 03:00:00 GMT", "", 0},
		{"what is neither is no wait", "soon", "", 0},
	} {
		t.Run(row.that, func(t *testing.T) {
			h := http.Header{"Retry-After": {row.header}}
			if row.date != "" {
				h.Set("Date", row.date)
			}
			if got := bearer.RetryAfter(h, now); got != row.want {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}
