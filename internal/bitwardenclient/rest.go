package bitwardenclient

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/graphtoken/graphtoken/core"
)

// client is the client in pure Go. It sends and reads what the server's SecretsController
// reads and sends.
type client struct {
	api     string
	sender  *sender
	session *session
}

// Format prints the client without its account.
func (c *client) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[bitwarden client]") }

// wireSecret is a secret as the server sends it: its texts are encrypted, and its project
// is in a list.
type wireSecret struct {
	Secret
	Projects []struct{ ID string }
}

func (w *wireSecret) projectID() string {
	if len(w.Projects) == 0 {
		return ""
	}
	return w.Projects[0].ID
}

// wireChange is the body of a request that creates or updates a secret.
type wireChange struct {
	Key        string   `json:"key"`
	Value      string   `json:"value"`
	Note       string   `json:"note"`
	ProjectIDs []string `json:"projectIds"`
}

func (c *client) Get(ctx context.Context, id string) (Secret, error) {
	path, err := secretPath(id)
	if err != nil {
		return Secret{}, err
	}
	var w wireSecret
	l, err := c.call(ctx, http.MethodGet, path, nil, &w)
	if err != nil {
		return Secret{}, orAbsent(err)
	}
	s := w.Secret
	s.ProjectID = w.projectID()
	if err := cmp.Or(decrypt(l.key, "name", &s.Key), decrypt(l.key, "value", &s.Value), decrypt(l.key, "note", &s.Note)); err != nil {
		return Secret{}, err
	}
	return s, nil
}

// decrypt decrypts a text of a secret. Its error says which.
func decrypt[T ~string](key *symmetricKey, which string, text *T) error {
	plain, err := key.open(string(*text))
	if err != nil {
		return fmt.Errorf("the secret's %s: %w", which, err)
	}
	*text = T(plain)
	return nil
}

func (c *client) List(ctx context.Context, organizationID string) ([]Identifier, error) {
	path, err := c.organizationPath(organizationID)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Secrets []wireSecret `json:"secrets"`
	}
	l, err := c.call(ctx, http.MethodGet, path, nil, &answer)
	if err != nil {
		return nil, err
	}
	ids := make([]Identifier, len(answer.Secrets))
	for i, w := range answer.Secrets {
		if err := decrypt(l.key, "name", &w.Key); err != nil {
			return nil, fmt.Errorf("%s: %w", shown(w.ID), err)
		}
		ids[i] = Identifier{ID: w.ID, Key: w.Key, ProjectID: w.projectID()}
	}
	return ids, nil
}

func (c *client) Create(ctx context.Context, s Secret) (Secret, error) {
	path, err := c.organizationPath(s.OrganizationID)
	if err != nil {
		return Secret{}, err
	}
	return c.change(ctx, http.MethodPost, path, s)
}

func (c *client) Update(ctx context.Context, s Secret) (Secret, error) {
	path, err := secretPath(s.ID)
	if err != nil {
		return Secret{}, err
	}
	updated, err := c.change(ctx, http.MethodPut, path, s)
	return updated, orAbsent(err)
}

func (c *client) change(ctx context.Context, method, path string, s Secret) (Secret, error) {
	var w wireSecret
	_, err := c.call(ctx, method, path, func(key *symmetricKey) any {
		return wireChange{
			Key:        key.encrypt([]byte(s.Key)).String(),
			Value:      key.encrypt([]byte(s.Value.Reveal())).String(),
			Note:       key.encrypt([]byte(s.Note.Reveal())).String(),
			ProjectIDs: projects(s),
		}
	}, &w)
	if err != nil {
		return Secret{}, err
	}
	if !IsUUID(w.ID) || w.RevisionDate.IsZero() {
		return Secret{}, errors.New("the server's answer has no secret in it")
	}
	// The answer to an update has no project.
	s.ID, s.OrganizationID, s.RevisionDate = w.ID, w.OrganizationID, w.RevisionDate
	return s, nil
}

func (c *client) Delete(ctx context.Context, id string) error {
	if !IsUUID(id) {
		return errNoID
	}
	var answer deletion
	_, err := c.call(ctx, http.MethodPost, "/secrets/delete", func(*symmetricKey) any { return []string{id} }, &answer)
	if err != nil {
		return orAbsent(err)
	}
	return answer.refusal()
}

// call sends a request with the session's login, and returns that login: its key is the
// one that decrypts the answer. If the server no longer accepts the login, call renews it
// once.
func (c *client) call(ctx context.Context, method, path string, body func(*symmetricKey) any, answer any) (*login, error) {
	rejected := ""
	for {
		l, err := c.session.get(ctx, rejected)
		if err != nil {
			return nil, err
		}
		r := request{method: method, url: c.api + path, bearer: l.bearer}
		if body != nil {
			r.kind = "application/json"
			if r.body, err = json.Marshal(body(l.key)); err != nil {
				return nil, err
			}
		}
		err = c.sender.send(ctx, r, answer)
		if status, ok := errors.AsType[*StatusError](err); ok && rejected == "" && status.StatusCode == http.StatusUnauthorized {
			rejected = l.bearer
			continue
		}
		return l, err
	}
}

var errNoID = fmt.Errorf("%w: the id isn't a UUID", core.ErrNotFound)

func secretPath(id string) (string, error) {
	if !IsUUID(id) {
		return "", errNoID
	}
	return "/secrets/" + id, nil
}

func (c *client) organizationPath(id string) (string, error) {
	id = cmp.Or(id, c.session.current.Load().organization)
	if !IsUUID(id) {
		return "", errors.New("the organization's id isn't a UUID")
	}
	return "/organizations/" + id + "/secrets", nil
}

// orAbsent turns a 404 about a secret into core.ErrNotFound, if it has Bitwarden's own
// text, "Resource not found.". Any other 404 comes from a proxy or from a wrong URL.
func orAbsent(err error) error {
	if status, ok := errors.AsType[*StatusError](err); ok && status.StatusCode == http.StatusNotFound && status.Message != "" {
		return fmt.Errorf("%w: %w", core.ErrNotFound, err)
	}
	return err
}
