package simulation

import (
	"math/rand/v2"
	"strconv"
	"time"
)

// seed makes a run: one seed, one history.
//
// Everything that happens by chance is drawn for what it is for (a process, a call, a
// moment), and never from a generator that several goroutines share: the
// order in which goroutines run at one moment is not the seed's.
type seed uint64

// draw returns a generator for one purpose.
func (s seed) draw(purpose ...string) *rand.Rand {
	return rand.New(rand.NewPCG(uint64(s), hash(purpose...)))
}

// hash is FNV-1a (64 bits) of the words, each with an end of its own.
func hash(words ...string) uint64 {
	h := uint64(14695981039346656037)
	for _, w := range words {
		for i := range len(w) {
			h = (h ^ uint64(w[i])) * 1099511628211
		}
		h = (h ^ 0xff) * 1099511628211
	}
	return h
}

func text[T int | int64 | time.Duration](n T) string { return strconv.FormatInt(int64(n), 36) }

// between returns a duration of at least low and less than high.
func between(r *rand.Rand, low, high time.Duration) time.Duration {
	return low + time.Duration(r.Int64N(int64(high-low)))
}

// spread is core's chance (see package jitter) in a simulation: the same at the
// same moment. No two processes do anything at the same moment.
func spread(d time.Duration) time.Duration {
	return time.Duration(hash(text(time.Now().UnixNano()), text(d)) % uint64(d))
}
