package s3test_test

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graphtoken/graphtoken/internal/testkit/s3test"
)

func TestConditionsAreHonouredInOneStep(t *testing.T) {
	for name, url := range map[string]func() string{
		"in process": func() string { return s3test.Start(t).URL },
		"versitygw":  func() string { return s3test.Versitygw(t).URL },
	} {
		t.Run(name, func(t *testing.T) {
			client := s3test.Client(url())
			bucket := s3test.Bucket(t, client)
			put := func(in s3.PutObjectInput) (string, error) {
				in.Bucket, in.Key, in.Body = &bucket, aws.String("k"), strings.NewReader(time.Now().String())
				out, err := client.PutObject(t.Context(), &in)
				if err != nil {
					return "", err
				}
				return *out.ETag, nil
			}
			_, err := put(s3.PutObjectInput{IfMatch: aws.String(`"0123"`)})
			wantStatus(t, err, http.StatusNotFound)
			etag, err := put(s3.PutObjectInput{IfNoneMatch: aws.String("*")})
			if err != nil {
				t.Fatal(err)
			}
			_, err = put(s3.PutObjectInput{IfNoneMatch: aws.String("*")})
			wantStatus(t, err, http.StatusPreconditionFailed)

			var won atomic.Int32
			var all sync.WaitGroup
			for range 8 {
				all.Go(func() {
					if _, err := put(s3.PutObjectInput{IfMatch: &etag}); err == nil {
						won.Add(1)
					} else {
						wantStatus(t, err, http.StatusPreconditionFailed)
					}
				})
			}
			all.Wait()
			if won.Load() != 1 {
				t.Errorf("%d replaced one ETag", won.Load())
			}
			_, err = client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: &bucket, Key: aws.String("k"), IfMatch: &etag})
			wantStatus(t, err, http.StatusPreconditionFailed)
		})
	}
}

func wantStatus(t *testing.T, err error, status int) {
	t.Helper()
	if answer := (*awshttp.ResponseError)(nil); !errors.As(err, &answer) || answer.HTTPStatusCode() != status {
		t.Errorf("got %v, want status %d", err, status)
	}
}

func TestTheDoublesClockGoesWhenItIsTold(t *testing.T) {
	double := s3test.Start(t)
	client := s3test.Client(double.URL)
	bucket := s3test.Bucket(t, client)
	double.Advance(48 * time.Hour)
	// The client is told that its clock is wrong, and signs anew.
	if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("k"), Body: strings.NewReader("x")}); err != nil {
		t.Fatal(err)
	}
	out, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: &bucket, Key: aws.String("k")})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Body.Close()
	if ahead := time.Until(*out.LastModified); ahead < 47*time.Hour || ahead > 49*time.Hour {
		t.Errorf("the object is of %v", out.LastModified)
	}
}

func TestAGatewayKeepsWhatItHolds(t *testing.T) {
	gateway := s3test.Versitygw(t)
	client := s3test.Client(gateway.URL)
	bucket := s3test.Bucket(t, client)
	if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: &bucket, Key: aws.String("k"), Body: strings.NewReader("x")}); err != nil {
		t.Fatal(err)
	}
	gateway.Stop(t)
	if _, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &bucket, Key: aws.String("k")}); err == nil {
		t.Error("a gateway that was stopped answers")
	}
	gateway.Restart(t)
	if _, err := client.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: &bucket, Key: aws.String("k")}); err != nil {
		t.Error(err)
	}
}
