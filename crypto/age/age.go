// Package age encrypts token records to age recipients: X25519 keys, hybrid keys that
// withstand quantum computers, and passphrases (https://age-encryption.org/v1).
//
//	identity, err := age.ParseHybridIdentity(os.Getenv("AGE_KEY")) // filippo.io/age
//	if err != nil {
//		return err
//	}
//	manager, err := agecrypto.New([]age.Identity{identity}, agecrypto.Options{})
//	if err != nil {
//		return err
//	}
//	store := core.NewStore(backend, core.WithCryptography(manager))
//
// It stores one line of ASCII, "graphtoken:age1:", an id of the recipients, a colon, and an age
// file in unpadded base64url. The file's content begins with the record's key, so that a
// record that is moved to another user's place doesn't decrypt there.
//
// # Who can write records
//
// Recipients are public keys: a person who knows them, and can write to the store, can
// put records there that decrypt. With a passphrase, or with the keyring of package
// crypto, that is not possible.
package age

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"filippo.io/age"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/crypto"
)

// Options configures a [Manager].
type Options struct {
	// Recipients are the recipients of each record: any one of their identities decrypts
	// it. None means the first identity's own recipient. Hybrid recipients can't be mixed
	// with others, which a quantum computer could break.
	Recipients []age.Recipient
}

// Manager is a [core.CryptographyManager] that encrypts to all its recipients, and decrypts
// with any of its identities. It is safe for concurrent use if its recipients and
// identities are, as those of filippo.io/age are, and prints no key.
type Manager struct {
	// A function, because a program that reads memory by reflection, for example to show
	// how two values differ, would find keys and passphrases in fields.
	keys   func() ([]age.Recipient, []age.Identity)
	header string
}

var _ crypto.Rotator = (*Manager)(nil)

const (
	prefix = "graphtoken:age1:"
	idSize = 16
)

var encoding = base64.RawURLEncoding.Strict()

// New returns a manager that decrypts with any of the identities. Without identities it
// can only encrypt, and needs recipients. To replace an identity, add the new one to
// every program, then make it the first (and a recipient, if recipients are named), and
// keep the old one until [crypto.Rewrap] reports every record as current.
func New(identities []age.Identity, o Options) (*Manager, error) {
	for i, identity := range identities {
		if identity == nil {
			return nil, fmt.Errorf("age: identity %d is nil", i+1)
		}
	}
	if len(o.Recipients) == 0 && len(identities) > 0 {
		switch first := identities[0].(type) {
		case *age.X25519Identity:
			o.Recipients = []age.Recipient{first.Recipient()}
		case *age.HybridIdentity:
			o.Recipients = []age.Recipient{first.Recipient()}
		}
	}
	if len(o.Recipients) == 0 {
		return nil, errors.New("age: a manager needs recipients, or an X25519 or hybrid identity as its first")
	}
	var names []string
	for _, r := range o.Recipients {
		name, ok := r.(fmt.Stringer)
		if !ok {
			return nil, fmt.Errorf("age: a recipient of type %T has no String, by which records would be known; passphrases are for NewPassphrase", r)
		}
		names = append(names, name.String())
	}
	if _, err := age.Encrypt(io.Discard, o.Recipients...); err != nil {
		return nil, fmt.Errorf("age: these recipients can't be used together: %w", err)
	}
	slices.Sort(names)
	sum := sha256.Sum256([]byte("graphtoken age recipients\x00" + strings.Join(names, "\x00")))
	return newManager(slices.Clone(o.Recipients), slices.Clone(identities), hex.EncodeToString(sum[:idSize/2])), nil
}

func newManager(recipients []age.Recipient, identities []age.Identity, id string) *Manager {
	return &Manager{
		keys:   func() ([]age.Recipient, []age.Identity) { return recipients, identities },
		header: prefix + id + ":",
	}
}

// PassphraseOptions says how much work it is to try a passphrase.
type PassphraseOptions struct {
	// WorkFactor is the base-2 logarithm of scrypt's N, 10 to 22. Zero means 18, as in
	// age itself: each Encrypt and each Decrypt then takes about a second and 256 MB.
	// Each step less halves both.
	WorkFactor int

	// Former are passphrases that decrypt, too.
	Former []string
}

// NewPassphrase returns a manager that encrypts with a passphrase. A good passphrase has
// six random words or more. A record doesn't tell its passphrase: NeedsRotation tries the
// present one, which takes as long as a Decrypt.
func NewPassphrase(passphrase string, o PassphraseOptions) (*Manager, error) {
	const usual, least, most = 18, 10, 22
	if o.WorkFactor == 0 {
		o.WorkFactor = usual
	}
	if o.WorkFactor < least || o.WorkFactor > most {
		return nil, fmt.Errorf("age: a work factor of %d; %d to %d are possible", o.WorkFactor, least, most)
	}
	recipient, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, fmt.Errorf("age: the passphrase: %w", err)
	}
	recipient.SetWorkFactor(o.WorkFactor)
	var identities []age.Identity
	for i, p := range append([]string{passphrase}, o.Former...) {
		identity, err := age.NewScryptIdentity(p)
		if err != nil {
			return nil, fmt.Errorf("age: passphrase %d: %w", i+1, err)
		}
		// The writer of a record chooses the work of reading it.
		identity.SetMaxWorkFactor(max(usual, o.WorkFactor))
		identities = append(identities, identity)
	}
	return newManager([]age.Recipient{recipient}, identities, passphraseID), nil
}

// passphraseID stands for any passphrase. A digest of one could be tried faster than
// scrypt.
const passphraseID = "0000000000000000"

// held returns what New was given, and nothing of the zero Manager.
func (m *Manager) held() ([]age.Recipient, []age.Identity) {
	if m.keys == nil {
		return nil, nil
	}
	return m.keys()
}

// Encrypt implements [core.CryptographyManager]. Its errors are those of a recipient; the
// recipients of filippo.io/age have none.
func (m *Manager) Encrypt(_ context.Context, plaintext, associatedData []byte) ([]byte, error) {
	recipients, _ := m.held()
	if len(recipients) == 0 {
		return nil, errors.New("age: the zero Manager has no recipient to encrypt to")
	}
	var file bytes.Buffer
	w, err := age.Encrypt(&file, recipients...)
	if err != nil {
		return nil, fmt.Errorf("age: %w", err)
	}
	for _, part := range [][]byte{bound(m.header, associatedData), plaintext} {
		if _, err := w.Write(part); err != nil {
			return nil, fmt.Errorf("age: %w", err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("age: %w", err)
	}
	return encoding.AppendEncode([]byte(m.header), file.Bytes()), nil
}

// bound is what is encrypted before the record: the header and the associated data, each
// after its length in eight bytes, so that they can't be confused with each other or with
// the record.
func bound(header string, associatedData []byte) []byte {
	b := binary.BigEndian.AppendUint64(nil, uint64(len(header)))
	b = append(b, header...)
	b = binary.BigEndian.AppendUint64(b, uint64(len(associatedData)))
	return append(b, associatedData...)
}

// Decrypt implements [core.CryptographyManager]. Errors of the record wrap
// [core.ErrDecrypt], and [crypto.ErrUnknownKey] if no identity is one of the record's
// recipients. An identity that is not of filippo.io/age, for example a plugin's, may fail
// with an error of its own.
func (m *Manager) Decrypt(_ context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	header, file, err := open(ciphertext)
	if err != nil {
		return nil, err
	}
	_, identities := m.held()
	text, err := decrypt(file, identities)
	if err != nil {
		return nil, err
	}
	plaintext, ok := bytes.CutPrefix(text, bound(header, associatedData))
	if !ok {
		return nil, malformed("it was altered, or stored under another name")
	}
	return plaintext, nil
}

// open splits a stored record into its header and its age file.
func open(stored []byte) (header string, file []byte, err error) {
	rest, ok := bytes.CutPrefix(stored, []byte(prefix))
	if !ok || len(rest) < idSize+1 || rest[idSize] != ':' || len(bytes.Trim(rest[:idSize], "0123456789abcdef")) > 0 {
		return "", nil, malformed("it is no record of this package")
	}
	header, text := string(stored[:len(prefix)+idSize+1]), rest[idSize+1:]
	if file, err = encoding.AppendDecode(nil, text); err != nil || len(text)%4 == 1 || len(file) != encoding.DecodedLen(len(text)) {
		return "", nil, malformed("it is damaged or cut short") // the decoder alone would ignore line breaks
	}
	return header, file, nil
}

func decrypt(file []byte, identities []age.Identity) ([]byte, error) {
	if len(identities) == 0 {
		return nil, fmt.Errorf("%w: %w: the manager has no identity", core.ErrDecrypt, crypto.ErrUnknownKey)
	}
	var foreign error // of an identity that isn't of filippo.io/age
	tried := slices.Clone(identities)
	for i, identity := range tried {
		switch identity.(type) {
		case *age.X25519Identity, *age.HybridIdentity, *age.ScryptIdentity:
		default:
			tried[i] = watched{identity, &foreign}
		}
	}
	r, err := age.Decrypt(bytes.NewReader(file), tried...)
	var none *age.NoIdentityMatchError
	switch {
	case foreign != nil:
		return nil, fmt.Errorf("age: %w", foreign)
	case errors.As(err, &none):
		return nil, fmt.Errorf("%w: %w: none of the manager's identities is a recipient", core.ErrDecrypt, crypto.ErrUnknownKey)
	case err != nil:
		return nil, malformed("it is damaged or cut short")
	}
	text, err := io.ReadAll(r)
	if err != nil {
		return nil, malformed("it is damaged or cut short")
	}
	return text, nil
}

// watched is an identity whose failure doesn't concern the record.
type watched struct {
	age.Identity
	failure *error
}

func (w watched) Unwrap(stanzas []*age.Stanza) ([]byte, error) {
	key, err := w.Identity.Unwrap(stanzas)
	if err != nil && !errors.Is(err, age.ErrIncorrectIdentity) {
		*w.failure = err
	}
	return key, err
}

// NeedsRotation reports whether a stored record isn't encrypted to the manager's present
// recipients. It looks at the record's beginning alone, unless a passphrase must be
// tried.
func (m *Manager) NeedsRotation(ciphertext []byte) bool {
	recipients, identities := m.held()
	if !bytes.HasPrefix(ciphertext, []byte(m.header)) || len(recipients) == 0 {
		return true
	}
	if m.header != prefix+passphraseID+":" || len(identities) == 1 {
		return false
	}
	_, file, err := open(ciphertext)
	if err == nil {
		_, err = decrypt(file, identities[:1])
	}
	return err != nil
}

func malformed(reason string) error { return fmt.Errorf("%w: %s", core.ErrDecrypt, reason) }

// String returns the id and the number of the recipients, and the number of the identities.
func (m *Manager) String() string {
	if m == nil {
		return "[age nil]"
	}
	recipients, identities := m.held()
	return fmt.Sprintf("[age %s recipients=%d identities=%d]", strings.Trim(strings.TrimPrefix(m.header, prefix), ":"), len(recipients), len(identities))
}

// Format prints String, whatever the verb: fmt would show the identities.
func (m *Manager) Format(f fmt.State, _ rune) { io.WriteString(f, m.String()) }

// MarshalText returns String.
func (m *Manager) MarshalText() ([]byte, error) { return []byte(m.String()), nil }

// LogValue returns String.
func (m *Manager) LogValue() slog.Value { return slog.StringValue(m.String()) }
