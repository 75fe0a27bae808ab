package core

import "context"

// CryptographyManager encrypts a record before it is stored, and decrypts it. The
// associated data are the record's key, after the store's namespace if it has one (see
// [WithNamespace]). If a scheme binds the associated data, nobody can exchange the
// records of two keys. Implementations are safe for concurrent use, and change none of
// their arguments; package conformance checks both. A Store hands Decrypt a copy all the
// same, because a plaintext written over a shared record would spoil it for others.
type CryptographyManager interface {
	// Encrypt returns the stored form of plaintext.
	Encrypt(ctx context.Context, plaintext, associatedData []byte) ([]byte, error)

	// Decrypt returns the plaintext. It returns ErrDecrypt if the ciphertext isn't the
	// manager's, was changed, was made with another key, or was stored with other
	// associated data.
	Decrypt(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error)
}

// AssociatedData returns the associated data of a key's record in a Store with that
// namespace (empty if it has none): the key, after the namespace and a NUL if there is a
// namespace. A key has no NUL, so two different pairs never give the same bytes.
func AssociatedData(namespace, key string) []byte {
	if namespace == "" {
		return []byte(key)
	}
	return []byte(namespace + "\x00" + key)
}
