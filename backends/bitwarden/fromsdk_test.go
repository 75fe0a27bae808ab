package bitwarden_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/graphtoken/graphtoken/backends/bitwarden"
	"github.com/graphtoken/graphtoken/core"
)

// What github.com/bitwarden/sdk-go has in versions 1 and 2, as far as it
// matters here: an interface whose methods answer with pointers to structs of
// the SDK's own.
type (
	sdkSecretsInterface interface {
		Create(key, value, note string, organizationID string, projectIDs []string) (*sdkSecretResponse, error)
		List(organizationID string) (*sdkSecretIdentifiersResponse, error)
		Get(secretID string) (*sdkSecretResponse, error)
		GetByIDS(secretIDs []string) (*sdkSecretsResponse, error)
		Update(secretID string, key, value, note string, organizationID string, projectIDs []string) (*sdkSecretResponse, error)
		Delete(secretIDs []string) (*sdkSecretsDeleteResponse, error)
		Sync(organizationID string, lastSyncedDate *time.Time) (*struct{}, error)
	}
	sdkSecretResponse struct {
		CreationDate   time.Time `json:"creationDate"`
		ID             string    `json:"id"`
		Key            string    `json:"key"`
		Note           string    `json:"note"`
		OrganizationID string    `json:"organizationId"`
		ProjectID      *string   `json:"projectId,omitempty"`
		RevisionDate   time.Time `json:"revisionDate"`
		Value          string    `json:"value"`
	}
	sdkSecretIdentifiersResponse struct {
		Data []sdkSecretIdentifierResponse `json:"data"`
	}
	sdkSecretIdentifierResponse struct {
		ID             string `json:"id"`
		Key            string `json:"key"`
		OrganizationID string `json:"organizationId"`
	}
	sdkSecretsResponse struct {
		Data []sdkSecretResponse `json:"data"`
	}
	sdkSecretsDeleteResponse struct {
		Data []sdkSecretDeleteResponse `json:"data"`
	}
	sdkSecretDeleteResponse struct {
		Error *string `json:"error,omitempty"`
		ID    string  `json:"id"`
	}
)

// sdkSecrets answers as the SDK does, of secrets in a map.
type sdkSecrets struct {
	sdkSecretsInterface // the rest

	running, overlaps atomic.Int32
	block             chan struct{} // when not nil, calls wait for it
	err               error         // when not nil, calls answer it

	mu     sync.Mutex
	stored map[string]sdkSecretResponse
	calls  int
}

func (s *sdkSecrets) enter() (leave func(), err error) {
	if s.running.Add(1) > 1 {
		s.overlaps.Add(1)
	}
	if s.block != nil {
		<-s.block
	}
	s.mu.Lock()
	s.calls++
	return func() { s.mu.Unlock(); s.running.Add(-1) }, s.err
}

var errSDKNotFound = errors.New(`API error: Received error message from server: [404 Not Found] {"message":"Resource not found."}`)

func (s *sdkSecrets) Get(id string) (*sdkSecretResponse, error) {
	leave, err := s.enter()
	defer leave()
	if err != nil {
		return nil, err
	}
	secret, ok := s.stored[id]
	if !ok {
		return nil, errSDKNotFound
	}
	return &secret, nil
}

func (s *sdkSecrets) List(organizationID string) (*sdkSecretIdentifiersResponse, error) {
	leave, err := s.enter()
	defer leave()
	if err != nil {
		return nil, err
	}
	answer := &sdkSecretIdentifiersResponse{}
	for _, secret := range s.stored {
		if secret.OrganizationID == organizationID {
			answer.Data = append(answer.Data, sdkSecretIdentifierResponse{secret.ID, secret.Key, organizationID})
		}
	}
	return answer, nil
}

func (s *sdkSecrets) Create(key, value, note string, organizationID string, projectIDs []string) (*sdkSecretResponse, error) {
	leave, err := s.enter()
	defer leave()
	if err != nil {
		return nil, err
	}
	return s.put(fmt.Sprintf("%08d-0000-4000-8000-000000000000", len(s.stored)), key, value, note, organizationID, projectIDs), nil
}

func (s *sdkSecrets) Update(id string, key, value, note string, organizationID string, projectIDs []string) (*sdkSecretResponse, error) {
	leave, err := s.enter()
	defer leave()
	if err != nil {
		return nil, err
	}
	if _, ok := s.stored[id]; !ok {
		return nil, errSDKNotFound
	}
	answer := s.put(id, key, value, note, organizationID, projectIDs)
	answer.ProjectID = nil // as the server has it
	return answer, nil
}

func (s *sdkSecrets) put(id, key, value, note, organizationID string, projectIDs []string) *sdkSecretResponse {
	secret := sdkSecretResponse{ID: id, Key: key, Value: value, Note: note, OrganizationID: organizationID, RevisionDate: time.Unix(int64(s.calls), 1000)}
	if len(projectIDs) > 0 {
		secret.ProjectID = &projectIDs[0]
	}
	s.stored[id] = secret
	return &secret
}

func (s *sdkSecrets) Delete(ids []string) (*sdkSecretsDeleteResponse, error) {
	leave, err := s.enter()
	defer leave()
	if err != nil {
		return nil, err
	}
	answer := &sdkSecretsDeleteResponse{}
	for _, id := range ids {
		deleted := sdkSecretDeleteResponse{ID: id}
		if secret, ok := s.stored[id]; !ok {
			return nil, errSDKNotFound
		} else if secret.Note == "of another's" {
			denied := "access denied"
			deleted.Error = &denied
		} else {
			delete(s.stored, id)
		}
		answer.Data = append(answer.Data, deleted)
	}
	return answer, nil
}

const sdkOrganization, sdkProject = "11111111-0000-4000-8000-000000000000", "22222222-0000-4000-8000-000000000000"

func fromSDK() (*sdkSecrets, bitwarden.Secrets) {
	sdk := &sdkSecrets{stored: map[string]sdkSecretResponse{}}
	var secrets sdkSecretsInterface = sdk // which is what the SDK's client returns
	return sdk, bitwarden.FromSDK(secrets)
}

func TestTheSDKsSecretsAreABackend(t *testing.T) {
	sdk, secrets := fromSDK()
	b, err := bitwarden.New(secrets, bitwarden.Options{OrganizationID: sdkOrganization, ProjectID: sdkProject})
	if err != nil {
		t.Fatal(err)
	}
	// Of the same name, and in another project, which the SDK's list doesn't say.
	sdk.put("99999999-0000-4000-8000-000000000000", "ana", `"theirs"`, "", sdkOrganization, nil)
	if ok, err := b.Check(t.Context(), "ana"); ok || err != nil {
		t.Errorf("Check = %v, %v", ok, err)
	}
	v := mustSave(t, b, "ana", `"1"`, core.Absent)
	if loaded := mustLoad(t, b, "ana", `"1"`); loaded != v {
		t.Errorf("Save answered version %s, Load %s", v, loaded)
	}
	next := mustSave(t, b, "ana", `"2"`, v)
	if loaded := mustLoad(t, b, "ana", `"2"`); loaded != next || next == v {
		t.Errorf("Save answered version %s after %s, Load %s", next, v, loaded)
	}
	if _, err := b.Save(t.Context(), "ana", core.Record{Data: []byte("{}"), Version: v}); !errors.Is(err, core.ErrConflict) {
		t.Errorf("a stale Save = %v", err)
	}
	sdk.put("88888888-0000-4000-8000-000000000000", "bo", `"theirs"`, "", sdkOrganization, nil)
	wantKeys(t, b, "ana")
	if err := b.Delete(t.Context(), "ana"); err != nil {
		t.Fatal(err)
	}
	wantKeys(t, b)
	if err := b.Ping(t.Context()); err != nil {
		t.Errorf("Ping = %v", err)
	}

	for _, o := range []bitwarden.Options{{}, {ProjectID: sdkProject}} {
		b, err := bitwarden.New(secrets, o)
		if err != nil {
			t.Fatal(err)
		}
		mustLoad(t, b, "99999999-0000-4000-8000-000000000000", `"theirs"`)
		if _, err := b.Load(t.Context(), "ana"); err == nil || errors.Is(err, core.ErrNotFound) {
			t.Errorf("Load of a name without an organization = %v", err)
		}
		if err := b.Ping(t.Context()); err == nil {
			t.Errorf("Ping without an organization = nil")
		}
	}
	if sdk.overlaps.Load() != 0 {
		t.Errorf("%d calls overlapped", sdk.overlaps.Load())
	}
}

func TestTheSDKsErrorsAreClassified(t *testing.T) {
	sdk, secrets := fromSDK()
	missing := "77777777-0000-4000-8000-000000000000"
	for what, call := range map[string]func() error{
		"Get":    func() error { _, err := secrets.Get(t.Context(), missing); return err },
		"Update": func() error { _, err := secrets.Update(t.Context(), bitwarden.Secret{ID: missing}); return err },
		"Delete": func() error { return secrets.Delete(t.Context(), missing) },
	} {
		if err := call(); !errors.Is(err, core.ErrNotFound) || !errors.Is(err, errSDKNotFound) {
			t.Errorf("%s of what isn't there = %v", what, err)
		}
	}
	wantTextOnly(t, secrets, missing, sdkOrganization)
	denied := sdk.put(missing, "bo", "", "of another's", sdkOrganization, nil).ID
	if err := secrets.Delete(t.Context(), denied); !errors.Is(err, core.ErrReadOnly) {
		t.Errorf("Delete of what isn't ours to delete = %v", err)
	}

	for text, want := range map[string]error{
		"API error: Cryptography error, The cipher's MAC doesn't match the expected value":                                        core.ErrDecrypt,
		`API error: Received error message from server: [500 Internal Server Error] {"message":"An error has occurred."}`:         nil,
		`API error: Received error message from server: [429 Too Many Requests] {"message":"[404 Not Found] isn't what this is"}`: nil,
		`API error: Received error message from server: [404 Not Found] 404 page not found`:                                       nil,
	} {
		sdk.err = errors.New(text)
		_, err := secrets.Get(t.Context(), missing)
		if !errors.Is(err, sdk.err) || errors.Is(err, core.ErrNotFound) || errors.Is(err, core.ErrDecrypt) != (want != nil) {
			t.Errorf("Get = %v, want %v", err, want)
		}
	}
	sdk.err = errSDKNotFound
	if _, err := secrets.List(t.Context(), sdkOrganization); err == nil || errors.Is(err, core.ErrNotFound) {
		t.Errorf("List of an organization that isn't the account's = %v", err)
	}
	if _, err := secrets.Create(t.Context(), bitwarden.Secret{OrganizationID: sdkOrganization}); err == nil || errors.Is(err, core.ErrNotFound) {
		t.Errorf("Create without the right to = %v", err)
	}
	sdk.err = nil
	if created, err := secrets.Create(t.Context(), bitwarden.Secret{Key: "bo"}); err == nil {
		t.Errorf("Create without an organization = %+v", created)
	}
	if bitwarden.FromSDK(sdkSecretsInterface(nil)) != nil {
		t.Error("FromSDK makes something of nothing")
	}
}

func TestACallerMayLeaveACallOfTheSDK(t *testing.T) { synctest.Test(t, leavingACallOfTheSDK) }

func leavingACallOfTheSDK(t *testing.T) {
	sdk, secrets := fromSDK()
	id := sdk.put("66666666-0000-4000-8000-000000000000", "ana", "{}", "", sdkOrganization, nil).ID
	sdk.block = make(chan struct{})
	leave := func() error {
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { _, err := secrets.Get(ctx, id); done <- err }()
		synctest.Wait()
		cancel()
		return <-done
	}
	for _, what := range []string{"during the call", "while another's is going on"} {
		if err := leave(); !errors.Is(err, context.Canceled) {
			t.Errorf("Get left %s = %v", what, err)
		}
	}
	if text := fmt.Sprintf("%+v %s", secrets, secrets); text != "[official bitwarden client] [official bitwarden client]" {
		t.Errorf("the client is printed as %s", text)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	close(sdk.block)
	if _, err := secrets.Get(t.Context(), id); err != nil {
		t.Errorf("Get after that = %v", err)
	}
	sdk.mu.Lock()
	calls := sdk.calls
	sdk.mu.Unlock()
	for range 20 {
		if _, err := secrets.Get(ctx, id); !errors.Is(err, context.Canceled) {
			t.Errorf("Get with a context that is done = %v", err)
		}
		synctest.Wait()
	}
	if sdk.mu.Lock(); sdk.calls != calls || calls != 2 {
		t.Errorf("the SDK was called %d times, and then %d; want 2", calls, sdk.calls)
	}
	sdk.mu.Unlock()
	if sdk.overlaps.Load() != 0 {
		t.Errorf("%d calls overlapped", sdk.overlaps.Load())
	}
}
