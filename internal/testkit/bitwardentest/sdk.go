package bitwardentest

import (
	"cmp"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// These types are those of github.com/bitwarden/sdk-go in versions 1 and 2: an interface
// whose methods answer with pointers to structs of the SDK's own. The methods that no test
// needs have shorter answers.
type (
	SDKSecretsInterface interface {
		Create(key, value, note string, organizationID string, projectIDs []string) (*SDKSecretResponse, error)
		List(organizationID string) (*SDKSecretIdentifiersResponse, error)
		Get(secretID string) (*SDKSecretResponse, error)
		GetByIDS(secretIDs []string) (*SDKSecretsResponse, error)
		Update(secretID string, key, value, note string, organizationID string, projectIDs []string) (*SDKSecretResponse, error)
		Delete(secretIDs []string) (*SDKSecretsDeleteResponse, error)
		Sync(organizationID string, lastSyncedDate *time.Time) (*struct{}, error)
	}
	SDKSecretResponse struct {
		CreationDate   time.Time `json:"creationDate"`
		ID             string    `json:"id"`
		Key            string    `json:"key"`
		Note           string    `json:"note"`
		OrganizationID string    `json:"organizationId"`
		ProjectID      *string   `json:"projectId,omitempty"`
		RevisionDate   time.Time `json:"revisionDate"`
		Value          string    `json:"value"`
	}
	SDKSecretIdentifiersResponse struct {
		Data []SDKSecretIdentifierResponse `json:"data"`
	}
	SDKSecretIdentifierResponse struct {
		ID             string `json:"id"`
		Key            string `json:"key"`
		OrganizationID string `json:"organizationId"`
	}
	SDKSecretsResponse struct {
		Data []SDKSecretResponse `json:"data"`
	}
	SDKSecretsDeleteResponse struct {
		Data []SDKSecretDeleteResponse `json:"data"`
	}
	SDKSecretDeleteResponse struct {
		Error *string `json:"error,omitempty"`
		ID    string  `json:"id"`
	}
)

// SDK answers as the official SDK does, without a server and without cgo. [NewSDK] makes
// one.
type SDK struct {
	SDKSecretsInterface // the rest

	Block chan struct{} // unless it is nil, calls wait until it is closed
	Err   error         // unless it is nil, calls return it
	// AnswerID, unless it is empty, is the id in every answer to an update.
	AnswerID string

	running, overlaps atomic.Int32
	mu                sync.Mutex
	stored            map[string]SDKSecretResponse
	calls             int
}

// An organization and a project, for the secrets of an [SDK].
const SDKOrganization, SDKProject = "11111111-0000-4000-8000-000000000000", "22222222-0000-4000-8000-000000000000"

// NotDeletable is the note of a secret that an [SDK] refuses to delete.
const NotDeletable = "of another's"

// ErrSDKNotFound is the official SDK's error for a secret that isn't there.
var ErrSDKNotFound = errors.New(`API error: Received error message from server: [404 Not Found] {"message":"Resource not found."}`)

// NewSDK returns an SDK that has no secrets.
func NewSDK() *SDK { return &SDK{stored: make(map[string]SDKSecretResponse)} }

// Calls is how many calls have begun, apart from those that Block still holds.
func (s *SDK) Calls() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls
}

// Overlaps is how many calls began during another.
func (s *SDK) Overlaps() int { return int(s.overlaps.Load()) }

func (s *SDK) enter() (leave func(), err error) {
	if s.running.Add(1) > 1 {
		s.overlaps.Add(1)
	}
	if s.Block != nil {
		<-s.Block
	}
	s.mu.Lock()
	s.calls++
	return func() { s.mu.Unlock(); s.running.Add(-1) }, s.Err
}

// Get returns the secret with this id.
func (s *SDK) Get(id string) (*SDKSecretResponse, error) {
	leave, err := s.enter()
	defer leave()
	if err != nil {
		return nil, err
	}
	secret, ok := s.stored[id]
	if !ok {
		return nil, ErrSDKNotFound
	}
	return &secret, nil
}

// List returns the secrets of an organization, without their projects.
func (s *SDK) List(organizationID string) (*SDKSecretIdentifiersResponse, error) {
	leave, err := s.enter()
	defer leave()
	if err != nil {
		return nil, err
	}
	answer := &SDKSecretIdentifiersResponse{}
	for _, secret := range s.stored {
		if secret.OrganizationID == organizationID {
			answer.Data = append(answer.Data, SDKSecretIdentifierResponse{secret.ID, secret.Key, organizationID})
		}
	}
	return answer, nil
}

// Create stores a new secret.
func (s *SDK) Create(key, value, note string, organizationID string, projectIDs []string) (*SDKSecretResponse, error) {
	leave, err := s.enter()
	defer leave()
	if err != nil {
		return nil, err
	}
	return s.Put(fmt.Sprintf("%08d-0000-4000-8000-000000000000", len(s.stored)), key, value, note, organizationID, projectIDs), nil
}

// Update replaces a secret, and answers without its project, as the server does.
func (s *SDK) Update(id string, key, value, note string, organizationID string, projectIDs []string) (*SDKSecretResponse, error) {
	leave, err := s.enter()
	defer leave()
	if err != nil {
		return nil, err
	}
	if _, ok := s.stored[id]; !ok {
		return nil, ErrSDKNotFound
	}
	answer := s.Put(id, key, value, note, organizationID, projectIDs)
	answer.ProjectID = nil
	answer.ID = cmp.Or(s.AnswerID, answer.ID)
	return answer, nil
}

// Put stores a secret without a call. No call may be running.
func (s *SDK) Put(id, key, value, note, organizationID string, projectIDs []string) *SDKSecretResponse {
	secret := SDKSecretResponse{ID: id, Key: key, Value: value, Note: note, OrganizationID: organizationID, RevisionDate: time.Unix(int64(s.calls), 1000)}
	if len(projectIDs) > 0 {
		secret.ProjectID = &projectIDs[0]
	}
	s.stored[id] = secret
	return &secret
}

// PutUnder stores a secret under another's id, as a server would that mixes them up. No
// call may be running.
func (s *SDK) PutUnder(id string, secret SDKSecretResponse) { s.stored[id] = secret }

// Delete removes secrets, except those whose note is [NotDeletable].
func (s *SDK) Delete(ids []string) (*SDKSecretsDeleteResponse, error) {
	leave, err := s.enter()
	defer leave()
	if err != nil {
		return nil, err
	}
	answer := &SDKSecretsDeleteResponse{}
	for _, id := range ids {
		deleted := SDKSecretDeleteResponse{ID: id}
		if secret, ok := s.stored[id]; !ok {
			return nil, ErrSDKNotFound
		} else if secret.Note == NotDeletable {
			denied := "access denied"
			deleted.Error = &denied
		} else {
			delete(s.stored, id)
		}
		answer.Data = append(answer.Data, deleted)
	}
	return answer, nil
}
