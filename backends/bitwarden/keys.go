package bitwarden

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
	"github.com/graphtoken/graphtoken/internal/bitwardenclient"
)

// Keys implements [core.Lister]. It returns names, not ids, and skips secrets whose names
// aren't keys. It takes one request. Some clients, such as the official SDK, list secrets
// without their projects: with them and Options.ProjectID it takes one more request for
// each secret whose name is a key.
func (b *Backend) Keys(ctx context.Context) iter.Seq2[string, error] {
	return backend.Keys(ctx, origin.StoreOp("keys"), func(yield func(string) bool) error {
		ids, err := b.list(ctx)
		for key, same := range ids {
			held, err := b.held(ctx, same, key)
			if err != nil {
				return err
			}
			if len(held) > 0 && !yield(key) {
				return nil
			}
		}
		return err
	})
}

// held returns those secrets of a key's name that are the key's. It asks the server if
// the list doesn't say.
func (b *Backend) held(ctx context.Context, ids []Identifier, key string) ([]string, error) {
	var held []string
	for _, id := range ids {
		ours := b.options.ProjectID == "" || id.ProjectID != ""
		if !ours {
			s, err := b.secrets.Get(ctx, id.ID)
			if err != nil && !errors.Is(err, core.ErrNotFound) {
				return nil, err
			}
			ours = err == nil && b.holds(s, key)
		}
		if ours {
			held = append(held, id.ID)
		}
	}
	return held, nil
}

// places remembers in which secrets records are, so that names are looked up only once.
// It can be out of date: it says where to look, not what is stored.
type places struct {
	mu sync.Mutex
	of map[string]Secret // by key, as they were read, without their values; or only the ID
}

func (p *places) get(key string) (s Secret, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s, ok = p.of[key]
	return s, ok
}

func (p *places) remember(key string, s Secret) {
	s.Value = ""
	p.mu.Lock()
	defer p.mu.Unlock()
	p.of[key] = s
}

// listed remembers the id of a secret that was seen in a list, unless more is known about
// it.
func (p *places) listed(key, id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of[key].ID != id {
		p.of[key] = Secret{ID: id}
	}
}

// forget forgets that the key's record is the secret with this id.
func (p *places) forget(key, id string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of[key].ID == id {
		delete(p.of, key)
	}
}

// isID reports whether a key is the id of a secret. Only the spelling that Bitwarden uses
// counts, because two keys must not name the same record.
func isID(key string) bool { return bitwardenclient.IsUUID(key) && strings.ToLower(key) == key }

// key returns the key whose secret has this name.
func (b *Backend) key(name string) (string, bool) {
	key, ok := b.naming.Key(name)
	return key, ok && !isID(key)
}

// find returns the secret of a key as it is now.
func (b *Backend) find(ctx context.Context, key string) (Secret, error) {
	if isID(key) {
		s, err := b.secrets.Get(ctx, key)
		if err == nil {
			b.places.remember(key, s)
		}
		return s, err
	}
	at, ok := b.places.get(key)
	if !ok {
		return b.lookUp(ctx, key)
	}
	s, err := b.secrets.Get(ctx, at.ID)
	switch {
	case err == nil && b.holds(s, key):
		b.places.remember(key, s)
		return s, nil
	case err == nil, errors.Is(err, core.ErrNotFound):
		// It was deleted, renamed or moved. There may be another one by now.
		b.places.forget(key, at.ID)
		return b.lookUp(ctx, key)
	}
	return Secret{}, err
}

// holds reports whether s is the secret of the key.
func (b *Backend) holds(s Secret, key string) bool {
	return s.Key == b.naming.Name(key) && b.covers(s.ProjectID)
}

// covers reports whether names are looked up in a project.
func (b *Backend) covers(projectID string) bool {
	return b.options.ProjectID == "" || strings.EqualFold(projectID, b.options.ProjectID)
}

// Pauses between looks, when another process may be changing what was seen: 0.7 seconds
// in all.
const (
	firstLook = 100 * time.Millisecond // doubled each time
	lastLook  = 400 * time.Millisecond
)

// lookUp finds the secret of a key by its name. It looks again if other processes are
// changing secrets with that name: a secret that was listed, and doesn't exist when it is
// read, may have been created again; and if several were created at one time, all but one
// will be deleted (see create).
func (b *Backend) lookUp(ctx context.Context, key string) (Secret, error) {
	for wait := firstLook; ; wait *= 2 {
		found, gone, err := b.named(ctx, key)
		switch {
		case err != nil:
			return Secret{}, err
		case len(found) == 1:
			b.places.remember(key, found[0])
			return found[0], nil
		case len(found) > 1 && wait > lastLook:
			duplicate := &DuplicateError{Name: b.naming.Name(key)}
			for _, s := range found {
				duplicate.IDs = append(duplicate.IDs, s.ID)
			}
			return Secret{}, duplicate
		case len(found) == 0 && (!gone || wait > lastLook):
			return Secret{}, core.ErrNotFound
		}
		if err := backend.Sleep(ctx, wait); err != nil {
			return Secret{}, err
		}
	}
}

// named returns the secrets of a key's name, and whether others were listed that no
// longer exist.
func (b *Backend) named(ctx context.Context, key string) (found []Secret, gone bool, err error) {
	ids, err := b.list(ctx)
	if err != nil {
		return nil, false, err
	}
	for _, id := range ids[key] {
		s, err := b.secrets.Get(ctx, id.ID)
		switch {
		case errors.Is(err, core.ErrNotFound):
			b.places.forget(key, id.ID)
			gone = true
		case err != nil:
			return nil, false, err
		case b.holds(s, key):
			found = append(found, s)
		}
	}
	return found, gone, nil
}

// list returns the secrets that may be records, by key. It remembers where they are, so
// that one list is enough for the next keys too.
func (b *Backend) list(ctx context.Context) (map[string][]Identifier, error) {
	all, err := b.secrets.List(ctx, b.options.OrganizationID)
	if err != nil {
		return nil, err
	}
	ids := make(map[string][]Identifier)
	for _, id := range all {
		if key, ok := b.key(id.Key); ok && (id.ProjectID == "" || b.covers(id.ProjectID)) {
			ids[key] = append(ids[key], id)
		}
	}
	for key, same := range ids {
		if len(same) == 1 {
			b.places.listed(key, same[0].ID)
		}
	}
	return ids, nil
}
