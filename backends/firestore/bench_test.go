package firestore_test

import (
	"bytes"
	"context"
	"slices"
	"testing"
	"time"

	gcp "cloud.google.com/go/firestore"

	"github.com/graphtoken/graphtoken/backends/firestore"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/firestoretest"
)

// BenchmarkSideBySide takes turns between the backend and what a program would
// call that wants nothing but its 6 KB, on one server through one client, and
// reports the medians and their ratio. The emulator stands for the service,
// which is further away; the double answers at once, and hides nothing.
func BenchmarkSideBySide(b *testing.B) {
	for name, start := range map[string]func(firestoretest.TB) *firestoretest.Server{
		"emulator": emulator.Emulator, "double": firestoretest.Double,
	} {
		b.Run(name, func(b *testing.B) {
			client := start(b).Client(b, "")
			backend, err := firestore.New(client, "bench", firestore.Options{})
			if err != nil {
				b.Fatal(err)
			}
			data := bytes.Repeat([]byte("x"), 6<<10)
			ctx, bare := b.Context(), client.Collection("bench").Doc("bare")
			// Something changes, as it does in a token.
			turn := 0
			next := func() int { turn++; return len(data) - turn%100 }
			set := func() error {
				_, err := bare.Set(ctx, map[string]any{"token": string(data[:next()])}, gcp.MergeAll)
				return err
			}
			v := save(b, backend, "k", string(data), core.AnyVersion)
			written, err := bare.Set(ctx, map[string]any{"token": string(data)})
			if err != nil {
				b.Fatal(err)
			}
			updated := written.UpdateTime
			for _, op := range []struct {
				name       string
				ours, bare func() error
			}{
				{"load", func() error { return load(ctx, backend) }, func() error {
					found, err := bare.Get(ctx)
					if err == nil {
						_, err = found.DataAt("token")
					}
					return err
				}},
				{"save", func() error {
					_, err := backend.Save(ctx, "k", core.Record{Data: data[:next()]})
					return err
				}, set},
				{"conditional-save", func() (err error) {
					v, err = backend.Save(ctx, "k", core.Record{Data: data[:next()], Version: v})
					return err
				}, func() error {
					written, err := bare.Update(ctx, []gcp.Update{{Path: "token", Value: string(data[:next()])}}, gcp.LastUpdateTime(updated))
					if err == nil {
						updated = written.UpdateTime
					}
					return err
				}},
			} {
				b.Run(op.name, func(b *testing.B) {
					if op.name == "conditional-save" {
						rec, err := backend.Load(ctx, "k")
						if err != nil {
							b.Fatal(err)
						}
						found, err := bare.Get(ctx)
						if err != nil {
							b.Fatal(err)
						}
						v, updated = rec.Version, found.UpdateTime
					}
					sideBySide(b, op.ours, op.bare)
				})
			}
		})
	}
}

func load(ctx context.Context, b core.TokenBackend) error {
	_, err := b.Load(ctx, "k")
	return err
}

func sideBySide(b *testing.B, ours, bare func() error) {
	var took [2][]time.Duration
	for i := 0; b.Loop(); i++ {
		for k := range 2 {
			k := (k + i) % 2
			begun := time.Now()
			if err := [](func() error){ours, bare}[k](); err != nil {
				b.Fatal(err)
			}
			took[k] = append(took[k], time.Since(begun))
		}
	}
	var median [2]float64
	for k := range took {
		slices.Sort(took[k])
		median[k] = float64(took[k][len(took[k])/2])
	}
	b.ReportMetric(0, "ns/op") // of both together: it says nothing
	b.ReportMetric(median[0]/1000, "ours-µs")
	b.ReportMetric(median[1]/1000, "bare-µs")
	b.ReportMetric(median[0]/median[1], "ratio")
}
