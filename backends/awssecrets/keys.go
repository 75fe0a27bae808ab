package awssecrets

import (
	"context"
	"iter"
	"strings"

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

// These names aren't names of keys: "=", the escape byte, followed by "le" or by nothing
// is no escape sequence.
const (
	leased   = "=leased"
	pingName = "="
)

// limit is the longest name of a record. The name of its lease is longer.
const limit = maxName - len(leased)

// newNaming is how keys become names of secrets.
func newNaming(o Options) backend.Naming {
	n := backend.Naming{Prefix: o.Prefix, Escape: '=', Limit: limit}
	if o.NativeNames {
		n.Native = func(name string) bool { return !strings.ContainsFunc(name, unnameable) }
		n.Reserved = func(name string) bool { return strings.HasSuffix(name, leased) || name == o.Prefix+pingName }
	}
	return n
}

func (b *Backend) name(key string) string { return b.naming.Name(key) }

// unnameable reports whether no secret's name can have this rune.
func unnameable(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune("/_+=.@-", r)
}
