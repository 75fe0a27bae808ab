package awssecrets

import (
	"context"
	"iter"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"

	"github.com/graphtoken/graphtoken/core/backend"
)

// Keys implements [core.Lister] with ListSecrets, a hundred secrets at a time. A record
// that was saved or deleted in the last five minutes may be listed or not:
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html
func (b *Backend) Keys(ctx context.Context) iter.Seq2[string, error] {
	return backend.Keys(ctx, origin.StoreOp("keys"), func(yield func(string) bool) error {
		in := &secretsmanager.ListSecretsInput{MaxResults: aws.Int32(100)}
		if prefix := b.naming.Prefix; prefix != "" {
			in.Filters = []types.Filter{{Key: types.FilterNameStringTypeName, Values: []string{prefix}}}
		}
		pages := secretsmanager.NewListSecretsPaginator(b.client, in)
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				return err
			}
			for _, secret := range page.SecretList {
				key, ok := b.naming.Key(aws.ToString(secret.Name))
				if ok && secret.DeletedDate == nil && !yield(key) {
					return nil
				}
			}
		}
		return nil
	})
}
