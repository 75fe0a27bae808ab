package awss3

import (
	"context"
	"iter"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Keys implements [core.Lister], with one ListObjectsV2 for each thousand objects. A
// record that is saved or deleted at the same time may be listed or not.
func (b *Backend) Keys(ctx context.Context) iter.Seq2[string, error] {
	return backend.Keys(ctx, origin.StoreOp("keys"), func(yield func(string) bool) error {
		in := &s3.ListObjectsV2Input{Bucket: &b.bucket, Prefix: &b.o.Prefix}
		if !b.o.NativeNames {
			// The names of records have no slash. With this delimiter the store leaves
			// out leases and everything else below a slash.
			in.Delimiter = aws.String("/")
		}
		pages := s3.NewListObjectsV2Paginator(b.client, in)
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, object := range page.Contents {
				if key, ok := b.records.Key(aws.ToString(object.Key)); ok && !yield(key) {
					return nil
				}
			}
		}
		return nil
	})
}
