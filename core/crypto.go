package core

import "context"

// CryptographyManager turns a record's plaintext into what is stored, and
// back. The associated data is the record's logical key, preceded by the
// store's namespace where it has one (see [WithNamespace]): a scheme that binds it makes records
// impossible to swap between keys. Implementations are safe for concurrent
// use.
type CryptographyManager interface {
	// Encrypt returns the stored form of plaintext.
	Encrypt(ctx context.Context, plaintext, associatedData []byte) ([]byte, error)

	// Decrypt returns the plaintext, or ErrDecrypt when the ciphertext is not
	// one of its own, was altered, was made under another key, or was stored
	// with other associated data.
	Decrypt(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error)
}

// AssociatedData is what a Store of that namespace (empty where it has none) hands
// its CryptographyManager with the record of key: the key, preceded by the namespace
// and a NUL where there is a namespace. A key has no NUL, so no two pairs give the
// same bytes.
func AssociatedData(namespace, key string) []byte {
	if namespace == "" {
		return []byte(key)
	}
	return []byte(namespace + "\x00" + key)
}
