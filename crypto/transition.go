package crypto

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"github.com/graphtoken/graphtoken/core"
)

// Rotator is a cryptography manager that tells which stored records it would now write in
// another form. A [Keyring] is one, and so is fernet's Manager.
type Rotator interface {
	core.CryptographyManager

	// NeedsRotation reports whether a stored record isn't encrypted as Encrypt would do
	// it now: with the primary key.
	NeedsRotation(ciphertext []byte) bool
}

var (
	_ Rotator = (*Keyring)(nil)
	_ Rotator = (*Transition)(nil)
)

// Transition is the manager of a store that changes from one scheme to another. It
// encrypts with the next manager, and decrypts records of the next and the former ones.
// Programs use it while [Rewrap] encrypts their records again.
//
// As long as a former manager is part of it, a record is only as safe as with that one:
// associated data that Fernet doesn't bind aren't bound. Drop the Transition when Rewrap
// has no record left.
type Transition struct {
	next   Rotator
	former []core.CryptographyManager
}

// NewTransition returns the manager that encrypts with next. Neither it nor a former
// manager may be nil.
func NewTransition(next Rotator, former ...core.CryptographyManager) (*Transition, error) {
	if next == nil {
		return nil, errors.New("crypto: a transition needs a next manager")
	}
	for i, m := range former {
		if m == nil {
			return nil, fmt.Errorf("crypto: former manager %d of a transition is nil", i+1)
		}
	}
	return &Transition{next: next, former: append([]core.CryptographyManager(nil), former...)}, nil
}

// Encrypt implements [core.CryptographyManager] with the next manager.
func (t *Transition) Encrypt(ctx context.Context, plaintext, associatedData []byte) ([]byte, error) {
	return t.next.Encrypt(ctx, plaintext, associatedData)
}

// Decrypt implements [core.CryptographyManager] with the next manager and, if that
// returns [core.ErrDecrypt], with the former ones in their order. If all return it, the
// error has the reason of each. Any other error ends the search, for example that a key
// service can't be reached: the record may be that manager's.
func (t *Transition) Decrypt(ctx context.Context, ciphertext, associatedData []byte) ([]byte, error) {
	plaintext, err := t.next.Decrypt(ctx, ciphertext, associatedData)
	for _, former := range t.former {
		if err == nil || !errors.Is(err, core.ErrDecrypt) {
			return plaintext, err
		}
		var formers error
		if plaintext, formers = former.Decrypt(ctx, ciphertext, associatedData); formers == nil {
			return plaintext, nil
		} else if !errors.Is(formers, core.ErrDecrypt) {
			return nil, formers
		}
		err = fmt.Errorf("%w; by a former manager: %w", err, formers)
	}
	return plaintext, err
}

// NeedsRotation reports whether a stored record isn't encrypted by the next manager with
// its primary key.
func (t *Transition) NeedsRotation(ciphertext []byte) bool { return t.next.NeedsRotation(ciphertext) }

// Prepare calls the next manager's Prepare, if it has one: see [DataKeys.Prepare].
func (t *Transition) Prepare(ctx context.Context) error { return prepare(ctx, t.next) }

// prepare lets a manager that needs a service find out whether the service can be
// reached.
func prepare(ctx context.Context, m Rotator) error {
	if p, ok := m.(interface{ Prepare(context.Context) error }); ok {
		return p.Prepare(ctx)
	}
	return nil
}

// String returns the next manager's String, and the number of former ones.
func (t *Transition) String() string {
	if t == nil {
		return "[transition nil]"
	}
	return fmt.Sprintf("[transition to %v, former managers: %d]", t.next, len(t.former))
}

// Format prints String, whatever the verb.
func (t *Transition) Format(f fmt.State, _ rune) { io.WriteString(f, t.String()) }

// MarshalText returns String.
func (t *Transition) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// LogValue returns String.
func (t *Transition) LogValue() slog.Value { return slog.StringValue(t.String()) }
