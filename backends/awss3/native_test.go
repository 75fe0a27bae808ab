package awss3_test

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/graphtoken/graphtoken/backends/awss3"
	"github.com/graphtoken/graphtoken/internal/testkit/native"
)

func TestARecordIsUsedUnderTheNameOfItsObject(t *testing.T) {
	t.Parallel()
	for where, start := range map[string]func(testing.TB) place{"in process": inProcess, "versitygw": onVersitygw, "moto": onMoto} {
		t.Run(where, func(t *testing.T) {
			t.Parallel()
			at := start(t)
			client := at.connect()
			for _, name := range []string{"contoso/ana@contoso.com token.txt", "a+b=c&d?e#f", "100%", "%40", "日本語/é", "!!64o36d1g", "!40"} {
				bucket := place{bucket: at.bucket, connect: at.connect}
				prefix := newPrefix()
				native.Check(t, bucket.open(t, awss3.Options{Prefix: prefix, NativeNames: true}), name, native.Place{
					Put: func(data string) {
						_, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &at.bucket, Key: aws.String(prefix + name), Body: strings.NewReader(data)})
						if err != nil {
							t.Fatal(err)
						}
					},
					Get: func() (string, bool) {
						found, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &at.bucket, Key: aws.String(prefix + name)})
						if none := (*types.NoSuchKey)(nil); errors.As(err, &none) {
							return "", false
						}
						if err != nil {
							t.Fatal(err)
						}
						defer found.Body.Close()
						data, err := io.ReadAll(found.Body)
						if err != nil {
							t.Fatal(err)
						}
						return string(data), true
					},
				})
			}
		})
	}
}
