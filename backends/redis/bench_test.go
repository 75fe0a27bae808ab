package redis_test

import (
	"bytes"
	"errors"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
	"github.com/graphtoken/graphtoken/internal/testkit/sidebyside"
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
			sidebyside.Run(b, func(int) error {
				_, err := backend.Load(b.Context(), "k")
				return err
			}, func(int) error {
				return client.HGetAll(b.Context(), "{k}").Err()
			})
		})
		b.Run("Save/"+size.name, func(b *testing.B) {
			v := save(b, backend, "k", string(data), core.AnyVersion)
			sidebyside.Run(b, func(int) (err error) {
				v, err = backend.Save(b.Context(), "k", core.Record{Data: data, Version: v})
				return err
			}, func(int) error {
				return client.HSet(b.Context(), "bare", fields("fixed")).Err()
			}, sidebyside.Way{Name: "watch", Do: func(int) error {
				return client.Watch(b.Context(), func(tx *goredis.Tx) error {
					if err := tx.HGet(b.Context(), "watched", "version").Err(); err != nil && !errors.Is(err, goredis.Nil) {
						return err
					}
					_, err := tx.TxPipelined(b.Context(), func(p goredis.Pipeliner) error {
						return p.HSet(b.Context(), "watched", fields("fixed")).Err()
					})
					return err
				}, "watched")
			}})
		})
	}
}
