// Package jitter spreads in time what many processes would otherwise do at
// the same moment.
package jitter

import (
	"math/rand/v2"
	"time"
)

// Below returns a random duration of at least zero and less than d, which is
// positive. It is a variable so that the simulation of core can repeat a run: all
// chance in core is drawn here.
var Below = func(d time.Duration) time.Duration { return rand.N(d) }

// Around returns d, a quarter of it more or less.
func Around(d time.Duration) time.Duration { return d*3/4 + Below(d/2+1) }
