package bitwarden

import "github.com/graphtoken/graphtoken/internal/bitwardenclient"

// SDK has the methods that [FromSDK] uses of the Secrets of github.com/bitwarden/sdk-go.
// The SDK's versions differ in the types of their answers: S is the answer about a
// secret, I the list, D the answer to a deletion.
type SDK[S, I, D any] interface {
	Get(id string) (S, error)
	List(organizationID string) (I, error)
	Create(key, value, note, organizationID string, projectIDs []string) (S, error)
	Update(id, key, value, note, organizationID string, projectIDs []string) (S, error)
	Delete(ids []string) (D, error)
}

// FromSDK returns Secrets over the official SDK's client. The client has logged in with
// AccessTokenLogin, and the caller closes it:
//
//	secrets := bitwarden.FromSDK(client.Secrets())
//
// The SDK's calls take no context. If the context ends, FromSDK's call returns, and the
// SDK's call continues in the background. The SDK's calls are made one after the other,
// since it doesn't promise to be safe for concurrent use. Neither the SDK nor FromSDK
// retries.
//
// The SDK's errors are texts; errors.As finds them. They are shown without control
// characters and without anything that looks like a credential. A text that begins like
// the server's 404 is core.ErrNotFound, and one about cryptography is core.ErrDecrypt.
func FromSDK[S, I, D any](sdk SDK[S, I, D]) Secrets {
	if origin.Require(sdk) != nil {
		return nil // New refuses it
	}
	return client{bitwardenclient.FromSDK(sdk)}
}
