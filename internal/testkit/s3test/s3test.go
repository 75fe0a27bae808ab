// Package s3test gives tests an S3 store: one in the test's process, whose clock the test
// sets, or versitygw, a real gateway over a directory. (Package mototest has a third one,
// moto.)
//
//	store := s3test.Start(t)
//	client := s3test.Client(store.URL)
//	bucket := s3test.Bucket(t, client)
package s3test

import (
	"crypto/rand"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graphtoken/graphtoken/internal/testkit"
)

// The only account there is.
const (
	Region    = "us-east-1"
	AccessKey = "s3test"
	SecretKey = "s3test-secret"
)

// Client returns a client of the store at url, which is [Impatient]. More
// options come last, and so have the last word.
func Client(url string, more ...func(*s3.Options)) *s3.Client {
	return s3.New(s3.Options{
		Region:       Region,
		BaseEndpoint: &url,
		UsePathStyle: true,
		Credentials:  credentials.NewStaticCredentialsProvider(AccessKey, SecretKey, ""),
	}, append([]func(*s3.Options){Impatient}, more...)...)
}

// Impatient has a client retry as often as any, but without a pause before.
func Impatient(o *s3.Options) {
	o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxBackoff = time.Millisecond
		o.RateLimiter = ratelimit.None
	})
}

// Bucket makes a bucket that nobody else uses.
func Bucket(t testkit.TB, client *s3.Client) string {
	t.Helper()
	name := "tokens-" + strings.ToLower(rand.Text())
	if _, err := client.CreateBucket(t.Context(), &s3.CreateBucketInput{Bucket: aws.String(name)}); err != nil {
		t.Fatalf("s3test: %v", err)
	}
	return name
}
