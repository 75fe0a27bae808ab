package bitwardentest

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Secret is a stored secret, opened.
type Secret struct {
	ID, Project      string
	Key, Value, Note string
	Created, Revised time.Time
}

// Secrets is what is stored, in the order it was created. It panics over what the
// organization's key doesn't open.
func (s *Server) Secrets() []Secret {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []Secret
	for _, stored := range s.secrets {
		open := func(what, sealed string) string {
			plain, err := s.key.open(sealed)
			if err != nil {
				panic(fmt.Sprintf("%v: the %s of %s", err, what, stored.id))
			}
			return plain
		}
		all = append(all, Secret{
			ID: stored.id, Project: stored.project, Created: stored.created, Revised: stored.revised,
			Key: open("key", stored.Key), Value: open("value", stored.Value), Note: open("note", stored.Note),
		})
	}
	slices.SortFunc(all, func(a, b Secret) int { return a.Created.Compare(b.Created) })
	return all
}

// Add stores a secret as somebody else would, with the web vault, and returns its id.
// Project is the first one where it is empty. ID and dates are made.
func (s *Server) Add(new Secret) (id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := secretModel{Key: s.key.seal(new.Key), Value: s.key.seal(new.Value), Note: s.key.seal(new.Note)}
	return s.store(m, cmp.Or(new.Project, s.projects[0].id)).id
}

// Set changes a secret's value as somebody else would.
func (s *Server) Set(id, value string) {
	s.SetEncrypted(id, s.key.seal(value))
}

// SetEncrypted changes what is stored of a secret's value, to whatever it may be.
func (s *Server) SetEncrypted(id, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stored := s.secrets[id]
	stored.Value, stored.revised = value, s.date()
	s.touch(stored.project)
}

// Encrypted is what is stored of a secret's value.
func (s *Server) Encrypted(id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.secrets[id].Value
}

// Encrypt makes an EncString with the organization's key.
func (s *Server) Encrypt(plain string) string { return s.key.seal(plain) }

// secret is guarded by Server.mu.
type secret struct {
	secretModel
	id, project      string
	created, revised time.Time
}

// secretModel is what clients send: SecretCreateRequestModel.cs, SecretUpdateRequestModel.cs.
type secretModel struct {
	Key, Value, Note string
	ProjectIDs       []string
}

func (m secretModel) refusal() *answer {
	invalid := map[string][]string{}
	for _, field := range []struct {
		name, value string
		limit       int
	}{{"Key", m.Key, 1000}, {"Value", m.Value, 35000}, {"Note", m.Note, 10000}} {
		var errs []string
		if field.value == "" {
			errs = append(errs, fmt.Sprintf("The %s field is required.", field.name))
		} else if _, ok := pieces(field.value); !ok {
			errs = append(errs, fmt.Sprintf("%s is not a valid encrypted string.", field.name))
		}
		if len(field.value) > field.limit {
			errs = append(errs, fmt.Sprintf("The field %s exceeds the maximum encrypted value length of %d characters.", field.name, field.limit))
		}
		if len(errs) > 0 {
			invalid[field.name] = errs
		}
	}
	if len(m.ProjectIDs) > 1 {
		invalid["ProjectIds"] = []string{"Only one project assignment is supported."}
	}
	if len(invalid) == 0 {
		return nil
	}
	body := errorModel("The model state is invalid.")
	body["validationErrors"] = invalid
	return &answer{status: http.StatusBadRequest, body: body}
}

// project is the id of the one project named; empty: none.
func (m secretModel) project() string {
	if len(m.ProjectIDs) == 0 {
		return ""
	}
	return strings.ToLower(m.ProjectIDs[0])
}

// store makes a secret. s.mu is held, as in everything below.
func (s *Server) store(m secretModel, project string) *secret {
	now := s.date()
	stored := &secret{secretModel: m, id: newID(), project: project, created: now, revised: now}
	s.secrets[stored.id] = stored
	s.touch(project)
	return stored
}

// touch notes for [Sync] that something in the project was changed.
func (s *Server) touch(project string) {
	for _, a := range s.accounts {
		if a.sees(project) {
			a.revised = s.revised
		}
	}
}

func (s *Server) list(r *request) *answer {
	models := []any{}
	for _, stored := range s.visible(r.account) {
		m := s.model("", stored, s.kept)
		delete(m, "object")
		delete(m, "value")
		delete(m, "note")
		m["read"], m["write"] = true, r.account.writes(stored.project)
		models = append(models, m)
	}
	return ok(map[string]any{"object": "SecretsWithProjectsList", "secrets": models})
}

// visible are the secrets an account may read, the oldest first.
func (s *Server) visible(a *account) []*secret {
	var visible []*secret
	for _, stored := range s.secrets {
		if a.sees(stored.project) {
			visible = append(visible, stored)
		}
	}
	slices.SortFunc(visible, func(a, b *secret) int { return a.revised.Compare(b.revised) })
	return visible
}

func (s *Server) create(r *request) *answer {
	var m secretModel
	if bad := r.read(&m); bad != nil {
		return bad
	}
	if bad := m.refusal(); bad != nil {
		return bad
	}
	// A machine account makes no secret outside of its projects (CanCreateSecretAsync).
	if !s.hasProject(m.project()) || !r.account.writes(m.project()) {
		return notFound()
	}
	return ok(s.readWrite(s.store(m, m.project()), r.account, asMade))
}

func (s *Server) get(r *request) *answer {
	stored := s.secrets[strings.ToLower(r.PathValue("id"))]
	if stored == nil || !r.account.sees(stored.project) {
		return notFound()
	}
	return ok(s.readWrite(stored, r.account, s.kept))
}

func (s *Server) update(r *request) *answer {
	var m secretModel
	if bad := r.read(&m); bad != nil {
		return bad
	}
	if bad := m.refusal(); bad != nil {
		return bad
	}
	stored := s.secrets[strings.ToLower(r.PathValue("id"))]
	if stored == nil || !r.account.writes(stored.project) {
		return notFound()
	}
	// One that names no project would take the secret out of its own, which a machine
	// account may not (GetAccessToUpdateSecretAsync).
	if !s.hasProject(m.project()) || !r.account.writes(m.project()) {
		return notFound()
	}
	stored.secretModel, stored.revised = m, s.date()
	s.touch(stored.project)
	if m.project() != stored.project {
		stored.project = m.project()
		s.touch(stored.project)
	}
	return ok(s.readWrite(stored, r.account, asMade))
}

func (s *Server) getByIDs(r *request) *answer {
	var m struct{ IDs []string }
	if bad := r.read(&m); bad != nil {
		return bad
	}
	found, all := s.find(m.IDs)
	if !all {
		return notFound()
	}
	models := []any{}
	for _, stored := range found {
		if !r.account.sees(stored.project) {
			return notFound()
		}
		models = append(models, s.model("baseSecret", stored, s.kept))
	}
	return ok(listModel(models))
}

// delete removes all or, where one isn't there, none. One that is there and can't be
// removed is no error of the request (BulkDeleteAsync).
func (s *Server) delete(r *request) *answer {
	var ids []string
	if bad := r.read(&ids); bad != nil {
		return bad
	}
	found, all := s.find(ids)
	if !all {
		return notFound()
	}
	models := []any{}
	for _, stored := range found {
		m := map[string]any{"object": "BulkDeleteResponseModel", "id": stored.id, "error": nil}
		if r.account.writes(stored.project) {
			s.date()
			s.touch(stored.project)
			delete(s.secrets, stored.id)
		} else {
			m["error"] = "access denied"
		}
		models = append(models, m)
	}
	return ok(listModel(models))
}

// find is false unless all of the ids, and at least one, are there.
func (s *Server) find(ids []string) (found []*secret, all bool) {
	for _, id := range ids {
		stored := s.secrets[strings.ToLower(id)]
		if stored == nil || slices.Contains(found, stored) {
			return nil, false
		}
		found = append(found, stored)
	}
	return found, len(found) > 0
}

// sync answers with all secrets, or with none if nothing the account sees has changed
// since the date (SecretsSyncQuery.cs).
func (s *Server) sync(r *request) *answer {
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return refuse(http.StatusBadRequest, "The model state is invalid.")
	}
	if since := query.Get("lastSyncedDate"); since != "" {
		date, err := time.Parse(time.RFC3339Nano, since)
		if err != nil {
			return refuse(http.StatusBadRequest, "The model state is invalid.")
		}
		if date.After(s.opts.Clock()) {
			return refuse(http.StatusBadRequest, "Last synced date must be in the past.")
		}
		if date.After(r.account.revised) {
			return ok(map[string]any{"object": "secretsSync", "hasChanges": false, "secrets": nil})
		}
	}
	models := []any{}
	for _, stored := range s.visible(r.account) {
		models = append(models, s.model("baseSecret", stored, s.kept))
	}
	return ok(map[string]any{"object": "secretsSync", "hasChanges": true, "secrets": listModel(models)})
}

func (s *Server) hasProject(id string) bool {
	return slices.ContainsFunc(s.projects, func(p project) bool { return p.id == id })
}

func listModel(data []any) any {
	return map[string]any{"object": "list", "data": data, "continuationToken": nil}
}

// readWrite is SecretResponseModel.cs.
func (s *Server) readWrite(stored *secret, a *account, date func(time.Time) string) map[string]any {
	m := s.model("secret", stored, date)
	m["read"], m["write"] = true, a.writes(stored.project)
	return m
}

// model is BaseSecretResponseModel.cs.
func (s *Server) model(object string, stored *secret, date func(time.Time) string) map[string]any {
	projects := []any{}
	for _, p := range s.projects {
		if p.id == stored.project {
			projects = append(projects, map[string]any{"id": p.id, "name": p.name})
		}
	}
	return map[string]any{
		"object": object, "id": stored.id, "organizationId": s.organization,
		"key": stored.Key, "value": stored.Value, "note": stored.Note,
		"creationDate": date(stored.created), "revisionDate": date(stored.revised), "projects": projects,
	}
}

// asMade writes a date as .NET does: as many of seven decimals as aren't zero.
func asMade(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.9999999Z") }

// kept is asMade, of a date that has been through the database.
func (s *Server) kept(t time.Time) string { return asMade(t.Truncate(s.opts.DatePrecision)) }
