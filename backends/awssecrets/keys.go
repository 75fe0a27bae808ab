package awssecrets

import (
	"context"
	"iter"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
)

// Keys implements [core.Lister] by ListSecrets, a hundred at a time. What was
// saved or deleted in the last five minutes may be listed or not:
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_ListSecrets.html
func (b *Backend) Keys(ctx context.Context) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		if err := ctx.Err(); err != nil {
			yield("", origin.Fail("keys", "", err))
			return
		}
		in := &secretsmanager.ListSecretsInput{MaxResults: aws.Int32(100)}
		if b.prefix != "" {
			in.Filters = []types.Filter{{Key: types.FilterNameStringTypeName, Values: []string{b.prefix}}}
		}
		pages := secretsmanager.NewListSecretsPaginator(b.client, in)
		for pages.HasMorePages() {
			page, err := pages.NextPage(ctx)
			if err != nil {
				yield("", origin.Fail("keys", "", err))
				return
			}
			for _, secret := range page.SecretList {
				key, ok := b.key(aws.ToString(secret.Name))
				if ok && secret.DeletedDate == nil && !yield(key, nil) {
					return
				}
			}
		}
	}
}
