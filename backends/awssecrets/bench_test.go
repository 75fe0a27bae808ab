package awssecrets_test

import (
	"bytes"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/graphtoken/graphtoken/backends/awssecrets"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/secretstest"
	"github.com/graphtoken/graphtoken/internal/testkit/sidebyside"
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
			sidebyside.Run(b, func(int) error {
				_, err := backend.Load(b.Context(), "ours")
				return err
			}, func(int) error {
				_, err := client.GetSecretValue(b.Context(), &secretsmanager.GetSecretValueInput{SecretId: aws.String("bare")})
				return err
			})
		})
		b.Run("Save/"+size.name, func(b *testing.B) {
			sidebyside.Run(b, func(int) (err error) {
				v, err = backend.Save(b.Context(), "ours", core.Record{Data: data, Version: core.AnyVersion})
				return err
			}, func(int) error {
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
			sidebyside.Run(b, func(int) (err error) {
				v, err = backend.Save(b.Context(), "ours", core.Record{Data: data, Version: v})
				return err
			}, func(int) error {
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
