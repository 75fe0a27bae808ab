package awss3_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graphtoken/graphtoken/backends/awss3"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/internal/testkit/s3test"
	"github.com/graphtoken/graphtoken/internal/testkit/sidebyside"
)

// BenchmarkSideBySide takes turns between the backend and what a program would
// call that wants nothing but its 6 KB, on versitygw. It reports the
// medians and their ratio.
func BenchmarkSideBySide(b *testing.B) {
	at := newPlace(b, s3test.Versitygw(b).URL)
	backend, client := at.open(b, awss3.Options{}), at.connect()
	data := bytes.Repeat([]byte("x"), 6<<10)
	bare := aws.String("bare")
	put := func(b *testing.B, ifMatch *string) (*string, error) {
		out, err := client.PutObject(b.Context(), &s3.PutObjectInput{Bucket: &at.bucket, Key: bare, Body: bytes.NewReader(data), IfMatch: ifMatch})
		if err != nil {
			return nil, err
		}
		return out.ETag, nil
	}
	etag, err := put(b, nil)
	if err != nil {
		b.Fatal(err)
	}
	version, err := backend.Save(b.Context(), "k", core.Record{Data: data, Version: core.AnyVersion})
	if err != nil {
		b.Fatal(err)
	}
	for _, k := range []struct {
		name          string
		backend, bare func(*testing.B) error
	}{
		{"load", func(b *testing.B) error {
			_, err := backend.Load(b.Context(), "k")
			return err
		}, func(b *testing.B) error {
			out, err := client.GetObject(b.Context(), &s3.GetObjectInput{Bucket: &at.bucket, Key: bare})
			if err != nil {
				return err
			}
			defer out.Body.Close()
			_, err = io.ReadAll(out.Body)
			return err
		}},
		{"save", func(b *testing.B) error {
			_, err := backend.Save(b.Context(), "k", core.Record{Data: data, Version: core.AnyVersion})
			return err
		}, func(b *testing.B) error {
			_, err := put(b, nil)
			return err
		}},
		{"conditional-save", func(b *testing.B) (err error) {
			version, err = backend.Save(b.Context(), "k", core.Record{Data: data, Version: version})
			return err
		}, func(b *testing.B) (err error) {
			etag, err = put(b, etag)
			return err
		}},
	} {
		b.Run(k.name, func(b *testing.B) {
			sidebyside.Run(b, func(int) error { return k.backend(b) }, func(int) error { return k.bare(b) })
		})
	}
}
