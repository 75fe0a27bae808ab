package redis_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
)

// BenchmarkSideBySide takes turns with the bare client moving the same bytes, so
// that a machine which others use too is as slow for both, and reports medians
// and their ratio. Saves take turns with WATCH too, which is what compares and
// sets without a script.
func BenchmarkSideBySide(b *testing.B) {
	backend, client := open(b, redistest.Start(b, "--appendonly", "no").Addr)
	for _, size := range []struct {
		name string
		n    int
	}{{"1KB", 1 << 10}, {"6KB", 6 << 10}, {"100KB", 100 << 10}, {"1MB", 1 << 20}} {
		data := bytes.Repeat([]byte("x"), size.n)
		fields := func(v core.Version) []any {
			return []any{"data:" + string(v), data, "version", string(v), "modified", "1795442400000000"}
		}
		b.Run("Load/"+size.name, func(b *testing.B) {
			save(b, backend, "k", string(data), core.AnyVersion)
			times := takingTurns(b, func() error {
				_, err := backend.Load(b.Context(), "k")
				return err
			}, func() error {
				return client.HGetAll(b.Context(), "{k}").Err()
			})
			b.ReportMetric(times[0], "ours-µs")
			b.ReportMetric(times[1], "bare-µs")
			b.ReportMetric(times[0]/times[1], "ratio")
		})
		b.Run("Save/"+size.name, func(b *testing.B) {
			v := save(b, backend, "k", string(data), core.AnyVersion)
			times := takingTurns(b, func() (err error) {
				v, err = backend.Save(b.Context(), "k", core.Record{Data: data, Version: v})
				return err
			}, func() error {
				return client.HSet(b.Context(), "bare", fields("fixed")).Err()
			}, func() error {
				return client.Watch(b.Context(), func(tx *goredis.Tx) error {
					if err := tx.HGet(b.Context(), "watched", "version").Err(); err != nil && !errors.Is(err, goredis.Nil) {
						return err
					}
					_, err := tx.TxPipelined(b.Context(), func(p goredis.Pipeliner) error {
						return p.HSet(b.Context(), "watched", fields("fixed")).Err()
					})
					return err
				}, "watched")
			})
			b.ReportMetric(times[0], "ours-µs")
			b.ReportMetric(times[1], "bare-µs")
			b.ReportMetric(times[2], "watch-µs")
			b.ReportMetric(times[0]/times[1], "ratio")
		})
	}
}

// takingTurns returns the median time of each way, in microseconds.
func takingTurns(b *testing.B, ways ...func() error) []float64 {
	b.Helper()
	times := make([][]time.Duration, len(ways))
	for i := 0; b.Loop(); i++ {
		for k := range ways {
			k := (k + i) % len(ways)
			begun := time.Now()
			if err := ways[k](); err != nil {
				b.Fatal(err)
			}
			times[k] = append(times[k], time.Since(begun))
		}
	}
	b.ReportMetric(0, "ns/op") // of all together: it says nothing
	medians := make([]float64, len(ways))
	for k := range ways {
		slices.Sort(times[k])
		medians[k] = float64(times[k][len(times[k])/2]) / float64(time.Microsecond)
	}
	return medians
}
