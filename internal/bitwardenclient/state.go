package bitwardenclient

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// stateFile stores a login. The file is one EncString under the access token's key, as in
// bitwarden-core's secrets_manager/state.rs.
type stateFile struct {
	path string // empty: there is no file
	key  *symmetricKey
}

// Format prints only the path.
func (f stateFile) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "[state file "+f.path+"]") }

// state is the encrypted content of the file.
type state struct {
	Version       int    `json:"version"`
	Token         string `json:"token"`
	EncryptionKey string `json:"encryption_key"`
}

const stateVersion = 1

// read returns the login in the file. It returns nil if anything is wrong with the file:
// a new login replaces it.
func (f stateFile) read() *login {
	if f.path == "" {
		return nil
	}
	written, _ := os.ReadFile(f.path)
	plain, err := f.key.open(string(written))
	if err != nil {
		return nil
	}
	var s state
	if json.Unmarshal(plain, &s) != nil || s.Version != stateVersion {
		return nil
	}
	l, err := newLogin(s.Token, s.EncryptionKey)
	if err != nil {
		return nil
	}
	return l
}

// write replaces the file. Only the file's owner may read it.
func (f stateFile) write(l *login) error {
	if f.path == "" {
		return nil
	}
	plain, err := json.Marshal(state{
		Version:       stateVersion,
		Token:         l.bearer,
		EncryptionKey: base64.StdEncoding.EncodeToString(l.key[:]),
	})
	if err == nil {
		err = replace(f.path, f.key.encrypt(plain).String())
	}
	if err != nil {
		return fmt.Errorf("the state file: %w", err)
	}
	return nil
}

// replace writes the file completely or not at all. It doesn't wait for the disk: if a
// crash damages the file, that costs one login.
func replace(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*") // 0600
	if err != nil {
		return err
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}
