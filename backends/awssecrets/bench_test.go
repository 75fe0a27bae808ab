package awssecrets_test

import (
	"bytes"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/graphtoken/graphtoken/backends/awssecrets"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/secretstest"
)

// BenchmarkSideBySide takes turns with the bare client moving the same bytes, so
// that a machine which others use too is as slow for both, and reports the
// medians and their ratio. The double is on the loopback interface: there is no
// network and no encryption to hide anything.
func BenchmarkSideBySide(b *testing.B) {
	for _, size := range []struct {
		name string
		n    int
	}{{"6KB", 6 << 10}, {"64KB", 64 << 10}} {
		data := bytes.Repeat([]byte("x"), size.n)
		backend, double := open(b, secretstest.Options{}, awssecrets.Options{})
		client := connect(double.URL, nil)
		v := save(b, backend, "ours", string(data), core.Absent)
		save(b, backend, "bare", string(data), core.Absent)
		put := func(stages ...string) (*secretsmanager.PutSecretValueOutput, error) {
			return client.PutSecretValue(b.Context(), &secretsmanager.PutSecretValueInput{
				SecretId: aws.String("bare"), SecretString: aws.String(string(data)), VersionStages: stages,
			})
		}
		b.Run("Load/"+size.name, func(b *testing.B) {
			sideBySide(b, func() error {
				_, err := backend.Load(b.Context(), "ours")
				return err
			}, func() error {
				_, err := client.GetSecretValue(b.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("bare")})
				return err
			})
		})
		b.Run("Save/"+size.name, func(b *testing.B) {
			sideBySide(b, func() (err error) {
				v, err = backend.Save(b.Context(), "ours", core.Record{Data: data})
				return err
			}, func() error {
				_, err := put()
				return err
			})
		})
		b.Run("SaveOverSeen/"+size.name, func(b *testing.B) {
			out, err := put()
			if err != nil {
				b.Fatal(err)
			}
			was := out.VersionId
			sideBySide(b, func() (err error) {
				v, err = backend.Save(b.Context(), "ours", core.Record{Data: data, Version: v})
				return err
			}, func() error {
				out, err := put("pending")
				if err != nil {
					return err
				}
				_, err = client.UpdateSecretVersionStage(b.Context(), &secretsmanager.UpdateSecretVersionStageInput{
					SecretId: aws.String("bare"), VersionStage: aws.String("AWSCURRENT"), MoveToVersionId: out.VersionId, RemoveFromVersionId: was,
				})
				was = out.VersionId
				return err
			})
		})
	}
}

func sideBySide(b *testing.B, ours, bare func() error) {
	var times [2][]time.Duration
	for i := 0; b.Loop(); i++ {
		for k := range 2 {
			k := (k + i) % 2
			begun := time.Now()
			if err := [](func() error){ours, bare}[k](); err != nil {
				b.Fatal(err)
			}
			times[k] = append(times[k], time.Since(begun))
		}
	}
	var median [2]float64
	for k := range times {
		slices.Sort(times[k])
		median[k] = float64(times[k][len(times[k])/2])
	}
	b.ReportMetric(0, "ns/op") // of both together: it says nothing
	b.ReportMetric(median[0], "ours-ns")
	b.ReportMetric(median[1], "bare-ns")
	b.ReportMetric(median[0]/median[1], "ratio")
}
