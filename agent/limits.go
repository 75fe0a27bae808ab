package agent

import (
	"net/http"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/agent/client"
)

// limits bounds the costly requests of each caller, a minute at a time.
type limits struct {
	most int // negative: no bound

	mu     sync.Mutex
	minute time.Time
	taken  map[string]int
}

// defaultRefreshes is one a second.
const defaultRefreshes = 60

func newLimits(most int) *limits {
	if most == 0 {
		most = defaultRefreshes
	}
	return &limits{most: most, taken: make(map[string]int)}
}

// take counts one more request of a caller, or refuses it until the next minute.
func (l *limits) take(caller string, now time.Time) *failure {
	if l.most < 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.minute) >= time.Minute || now.Before(l.minute) {
		l.minute = now
		clear(l.taken)
	}
	if l.taken[caller] >= l.most {
		return &failure{http.StatusTooManyRequests, client.CodeRateLimit, "too many requests that may cost a refresh; ask without min_validity and claims, or later", l.minute.Add(time.Minute).Sub(now)}
	}
	l.taken[caller]++
	return nil
}
