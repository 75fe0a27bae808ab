package bitwardentest

import "fmt"

// Records are what a backend keeps in a server's project, reached behind its
// back as the conformance suite does: a key's is the secret whose name is Prefix
// and the key. Embed it in the environment of a test.
type Records struct {
	*Server
	Prefix string
}

// Raw is the value of a key's secret, as it was before it was encrypted.
func (r Records) Raw(key string) []byte {
	secret, _ := r.stored(key)
	return []byte(secret.Value)
}

// Corrupt makes of a key's secret one that no backend has written.
func (r Records) Corrupt(key string) error {
	secret, ok := r.stored(key)
	if !ok {
		return fmt.Errorf("%q is not stored", key)
	}
	r.Set(secret.ID, "base64:?")
	return nil
}

func (r Records) stored(key string) (Secret, bool) {
	for _, secret := range r.Secrets() {
		if secret.Key == r.Prefix+key && secret.Project == r.Project() {
			return secret, true
		}
	}
	return Secret{}, false
}
