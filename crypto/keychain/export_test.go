package keychain

// Store is a keychain that a test puts in the place of the system's.
type Store = store

// Replace puts a keychain in the place of the system's, and returns what puts that back.
func Replace(s Store) (back func()) {
	before := system
	system = s
	return func() { system = before }
}
