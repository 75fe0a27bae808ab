package firestore_test

import (
	"bytes"
	"context"
	"testing"

	gcp "cloud.google.com/go/firestore"

	"github.com/graphtoken/graphtoken/backends/firestore"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/firestoretest"
	"github.com/graphtoken/graphtoken/internal/testkit/sidebyside"
)

// BenchmarkSideBySide takes turns between the backend and what a program would
// call that wants nothing but its 6 KB, on one server through one client, and
// reports the medians and their ratio. The emulator stands for the service,
// which is further away; the double answers at once, and hides nothing.
func BenchmarkSideBySide(b *testing.B) {
	for name, start := range map[string]func(testing.TB) *firestoretest.Server{
		"emulator": emulator.Get, "double": firestoretest.Double,
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
			in := func(turn int) []byte { return data[turn%100:] }
			set := func(turn int) error {
				_, err := bare.Set(ctx, map[string]any{"token": string(in(turn))}, gcp.MergeAll)
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
				ours, bare func(turn int) error
			}{
				{"load", func(int) error { return load(ctx, backend) }, func(int) error {
					found, err := bare.Get(ctx)
					if err == nil {
						_, err = found.DataAt("token")
					}
					return err
				}},
				{"save", func(turn int) error {
					_, err := backend.Save(ctx, "k", core.Record{Data: in(turn), Version: core.AnyVersion})
					return err
				}, set},
				{"conditional-save", func(turn int) (err error) {
					v, err = backend.Save(ctx, "k", core.Record{Data: in(turn), Version: v})
					return err
				}, func(turn int) error {
					written, err := bare.Update(ctx, []gcp.Update{{Path: "token", Value: string(in(turn))}}, gcp.LastUpdateTime(updated))
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
					sidebyside.Run(b, op.ours, op.bare)
				})
			}
		})
	}
}

func load(ctx context.Context, b core.TokenBackend) error {
	_, err := b.Load(ctx, "k")
	return err
}
