package secretstest

import (
	"crypto/rand"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// request is any operation's.
type request struct {
	Name, SecretId             string
	ClientRequestToken         string
	SecretString               *string
	SecretBinary               []byte
	Description, KmsKeyId      *string
	Tags                       []tag
	VersionId, VersionStage    string
	VersionStages              []string
	MoveToVersionId            string
	RemoveFromVersionId        string
	RecoveryWindowInDays       *int
	ForceDeleteWithoutRecovery bool
	Filters                    []struct {
		Key    string
		Values []string
	}
	MaxResults             *int
	NextToken              string
	IncludePlannedDeletion bool
	IncludeDeprecated      bool
}

// answer's fields that are zero are left out, as the service leaves them out.
type answer struct {
	ARN, Name              string
	VersionId              string              `json:",omitempty"`
	VersionStages          []string            `json:",omitempty"`
	SecretString           *string             `json:",omitempty"`
	SecretBinary           []byte              `json:",omitempty"`
	CreatedDate            *seconds            `json:",omitempty"`
	LastChangedDate        *seconds            `json:",omitempty"`
	DeletedDate            *seconds            `json:",omitempty"`
	DeletionDate           *seconds            `json:",omitempty"`
	Description            string              `json:",omitempty"`
	KmsKeyId               string              `json:",omitempty"`
	Tags                   []tag               `json:",omitempty"`
	VersionIdsToStages     map[string][]string `json:",omitempty"`
	SecretVersionsToStages map[string][]string `json:",omitempty"`
}

// seconds since 1970, with milliseconds.
type seconds time.Time

func at(t time.Time) *seconds {
	if t.IsZero() {
		return nil
	}
	return (*seconds)(&t)
}

func (s seconds) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(time.Time(s).UnixMilli())/1000, 'f', 3, 64), nil
}

var nameable = regexp.MustCompile(`^[A-Za-z0-9/_+=.@-]{1,512}$`)

const arnBefore = "arn:aws:secretsmanager:us-east-1:123456789012:secret:"

// find looks a secret up by name, ARN, or ARN without its last part.
func (s *Server) find(id string) (*secret, error) {
	named, isARN := strings.CutPrefix(id, arnBefore)
	if !isARN && !nameable.MatchString(id) {
		return nil, refuse("ValidationException", "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	}
	for name, x := range s.secrets {
		if id == name || id == x.arn || isARN && named == name {
			return x, nil
		}
	}
	return nil, refuse("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
}

// usable is find for operations that a secret scheduled for deletion refuses.
func (s *Server) usable(id string) (*secret, error) {
	x, err := s.find(id)
	if err == nil && !x.deleted.IsZero() {
		return nil, refuse("InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion.")
	}
	return x, err
}

// purge removes what was deleted long enough ago.
func (s *Server) purge() {
	now := s.now()
	maps.DeleteFunc(s.secrets, func(_ string, x *secret) bool {
		return !x.deleted.IsZero() && !now.Before(x.deleted) && (x.purged.IsZero() || !now.Before(x.purged))
	})
}

// check judges what a request brings for a new version.
func (q request) check() error {
	switch n := len(q.ClientRequestToken); {
	case n == 0:
		return refuse("InvalidRequestException", "You must provide a ClientRequestToken value. We recommend a UUID-type value.")
	case n < 32 || n > 64:
		return refuse("ValidationException", "1 validation error detected: Value at 'clientRequestToken' failed to satisfy constraint: Member must have a length of 32 to 64")
	}
	if q.SecretString != nil && q.SecretBinary != nil {
		return refuse("InvalidParameterException", "You can't specify both a binary secret value and a string secret value in the same secret.")
	}
	if q.SecretString != nil && len(*q.SecretString) > maxSize || len(q.SecretBinary) > maxSize {
		return refuse("ValidationException", fmt.Sprintf("1 validation error detected: the value failed to satisfy constraint: Member must have length less than or equal to %d", maxSize))
	}
	for _, stage := range q.VersionStages {
		if len(stage) < 1 || len(stage) > 256 {
			return refuse("ValidationException", "1 validation error detected: Value at 'versionStages' failed to satisfy constraint: Member must have a length of 1 to 256")
		}
	}
	return nil
}

func (q request) brings() bool { return q.SecretString != nil || q.SecretBinary != nil }

func (s *Server) create(q request) (any, error) {
	if !nameable.MatchString(q.Name) {
		return nil, refuse("ValidationException", "Invalid name. Must be a valid name containing alphanumeric characters, or any of the following: -/_+=.@!")
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	if x := s.secrets[q.Name]; x != nil {
		if !x.deleted.IsZero() {
			return nil, refuse("InvalidRequestException", "You can't create this secret because a secret with this name is already scheduled for deletion.")
		}
		v := x.versions[q.ClientRequestToken]
		switch {
		case v == nil:
			return nil, refuse("ResourceExistsException", "The operation failed because the secret "+q.Name+" already exists.")
		case !v.same(q):
			return nil, x.inUse(q)
		}
		return answer{ARN: x.arn, Name: x.name, VersionId: v.id}, nil
	}
	now := s.now()
	s.made++
	x := &secret{
		name:     q.Name,
		arn:      arnBefore + q.Name + "-" + rand.Text()[:6],
		number:   s.made,
		created:  now,
		changed:  now,
		tags:     q.Tags,
		versions: make(map[string]*version),
	}
	x.annotate(q)
	s.secrets[q.Name] = x
	a := answer{ARN: x.arn, Name: x.name}
	if q.brings() {
		if _, err := s.add(x, q); err != nil {
			return nil, err
		}
		a.VersionId = q.ClientRequestToken
	}
	return a, nil
}

func (x *secret) annotate(q request) {
	if q.Description != nil {
		x.description = *q.Description
	}
	if q.KmsKeyId != nil {
		x.kmsKeyID = *q.KmsKeyId
	}
}

func (x *secret) inUse(q request) error {
	return refuse("ResourceExistsException", "You can't use ClientRequestToken "+q.ClientRequestToken+" because that value is already in use for a version of secret "+x.arn+".")
}

// add makes a new version, or finds the one that an earlier request of the same
// token made.
func (s *Server) add(x *secret, q request) (*version, error) {
	if v := x.versions[q.ClientRequestToken]; v != nil {
		if !v.same(q) {
			return nil, x.inUse(q)
		}
		return v, nil
	}
	now := s.now()
	x.tidy(now)
	if limit := s.options.VersionLimit; limit > 0 && len(x.versions) >= limit {
		return nil, refuse("LimitExceededException", "You've reached the quota for the number of versions of a secret.")
	}
	labels := q.VersionStages
	if len(labels) == 0 || len(x.versions) == 0 && !slices.Contains(labels, current) {
		labels = append(slices.Clone(labels), current)
	}
	all := make(map[string]bool)
	for _, label := range labels {
		all[label] = true
	}
	for _, v := range x.versions {
		for _, label := range v.labels {
			all[label] = true
		}
	}
	if len(all) > maxLabels {
		return nil, refuse("LimitExceededException", "You've reached the quota for the number of staging labels of a secret.")
	}
	v := &version{id: q.ClientRequestToken, text: q.SecretString, binary: q.SecretBinary, created: now}
	was := x.labelled(current)
	x.versions[v.id] = v
	for _, label := range labels {
		x.move(label, v)
	}
	if was != nil && !was.has(current) {
		was.drop(rotation) // as recorded: it ends with the version's being current
	}
	x.changed = now
	return v, nil
}

func (s *Server) put(q request) (any, error) {
	x, err := s.usable(q.SecretId)
	if err != nil {
		return nil, err
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	if !q.brings() {
		return nil, refuse("InvalidRequestException", "You must provide either SecretString or SecretBinary.")
	}
	v, err := s.add(x, q)
	if err != nil {
		return nil, err
	}
	return answer{ARN: x.arn, Name: x.name, VersionId: v.id, VersionStages: slices.Clone(v.labels)}, nil
}

func (s *Server) update(q request) (any, error) {
	x, err := s.usable(q.SecretId)
	if err != nil {
		return nil, err
	}
	if err := q.check(); err != nil {
		return nil, err
	}
	x.annotate(q)
	a := answer{ARN: x.arn, Name: x.name}
	if q.brings() {
		v, err := s.add(x, q)
		if err != nil {
			return nil, err
		}
		a.VersionId = v.id
	}
	return a, nil
}

func (s *Server) updateStage(q request) (any, error) {
	x, err := s.usable(q.SecretId)
	if err != nil {
		return nil, err
	}
	label, done := q.VersionStage, answer{ARN: x.arn, Name: x.name}
	var to *version
	if q.MoveToVersionId != "" {
		if to = x.versions[q.MoveToVersionId]; to == nil {
			return nil, refuse("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for VersionId: "+q.MoveToVersionId)
		}
	}
	switch holder := x.labelled(label); {
	case holder != nil && holder != to && q.RemoveFromVersionId == "":
		return nil, refuse("InvalidParameterException", fmt.Sprintf("The parameter RemoveFromVersionId can't be empty. Staging label %s is currently attached to version %s, so you must explicitly reference that version in RemoveFromVersionId.", label, holder.id))
	case q.RemoveFromVersionId != "" && (holder == nil || holder.id != q.RemoveFromVersionId):
		return nil, refuse("InvalidParameterException", fmt.Sprintf("When you move staging label %s, if you specify RemoveFromVersionId, it must be set to the version that currently has the staging label %[1]s.", label))
	case to == nil && label == current:
		return nil, refuse("InvalidParameterException", "You can only move staging label AWSCURRENT to a different secret version. It can't be completely removed.")
	case to == nil:
		holder.drop(label)
	default:
		x.move(label, to)
	}
	x.changed = s.now()
	return done, nil
}

func (s *Server) value(q request) (any, error) {
	x, err := s.usable(q.SecretId)
	if err != nil {
		return nil, err
	}
	stage := q.VersionStage
	if stage == "" && q.VersionId == "" {
		stage = current
	}
	v, asked := x.versions[q.VersionId], "VersionId: "+q.VersionId
	if q.VersionId == "" {
		v, asked = x.labelled(stage), "staging label: "+stage
	}
	switch {
	case v == nil:
		return nil, refuse("ResourceNotFoundException", "Secrets Manager can't find the specified secret value for "+asked)
	case stage != "" && !v.has(stage):
		return nil, refuse("InvalidRequestException", "You provided a VersionStage that is not associated to the provided VersionId.")
	}
	return answer{
		ARN: x.arn, Name: x.name, VersionId: v.id, VersionStages: slices.Clone(v.labels),
		SecretString: v.text, SecretBinary: v.binary, CreatedDate: at(v.created),
	}, nil
}

func (x *secret) summary() answer {
	return answer{
		ARN: x.arn, Name: x.name, Description: x.description, KmsKeyId: x.kmsKeyID, Tags: x.tags,
		CreatedDate: at(x.created), LastChangedDate: at(x.changed), DeletedDate: at(x.deleted),
	}
}

func (s *Server) describe(q request) (any, error) {
	x, err := s.find(q.SecretId)
	if err != nil {
		return nil, err
	}
	a := x.summary()
	a.VersionIdsToStages = x.stages()
	return a, nil
}

func (s *Server) delete(q request) (any, error) {
	days := 30
	if q.RecoveryWindowInDays != nil {
		days = *q.RecoveryWindowInDays
		if q.ForceDeleteWithoutRecovery {
			return nil, refuse("InvalidParameterException", "You can't use ForceDeleteWithoutRecovery in conjunction with RecoveryWindowInDays.")
		}
		if days < 7 || days > 30 {
			return nil, refuse("InvalidParameterException", "The RecoveryWindowInDays value must be between 7 and 30 days (inclusive).")
		}
	}
	now := s.now()
	x, err := s.find(q.SecretId)
	switch {
	case err != nil && q.ForceDeleteWithoutRecovery && strings.Contains(err.Error(), "ResourceNotFound"):
		// As if it had been there.
		return answer{ARN: arnBefore + q.SecretId, Name: q.SecretId, DeletionDate: at(now)}, nil
	case err != nil:
		return nil, err
	case q.ForceDeleteWithoutRecovery:
		x.deleted, x.purged = now, now.Add(s.options.PurgeTime)
		s.purge()
	case !x.deleted.IsZero():
		return nil, refuse("InvalidRequestException", "You tried to perform the operation on a secret that's currently marked deleted.")
	default:
		x.deleted = now.AddDate(0, 0, days)
	}
	return answer{ARN: x.arn, Name: x.name, DeletionDate: at(x.deleted)}, nil
}

func (s *Server) restore(q request) (any, error) {
	x, err := s.find(q.SecretId)
	if err != nil {
		return nil, err
	}
	if !x.purged.IsZero() {
		return nil, refuse("InvalidRequestException", "You can't perform this operation on the secret because it was marked for deletion.")
	}
	x.deleted = time.Time{}
	return answer{ARN: x.arn, Name: x.name}, nil
}

func (s *Server) list(q request) (any, error) {
	most, after := 100, 0
	if q.MaxResults != nil {
		if most = *q.MaxResults; most < 1 || most > 100 {
			return nil, refuse("ValidationException", "1 validation error detected: Value at 'maxResults' failed to satisfy constraint: Member must have a value of 1 to 100")
		}
	}
	if q.NextToken != "" {
		var err error
		if after, err = strconv.Atoi(q.NextToken); err != nil {
			return nil, refuse("InvalidNextTokenException", "The NextToken value is invalid.")
		}
	}
	var found []*secret
	for _, x := range s.secrets {
		if x.number <= after || !x.deleted.IsZero() && !q.IncludePlannedDeletion {
			continue
		}
		fits := true
		for _, f := range q.Filters {
			if f.Key != "name" {
				return nil, refuse("InvalidParameterException", "this double filters by name alone")
			}
			fits = fits && slices.ContainsFunc(f.Values, func(prefix string) bool { return strings.HasPrefix(x.name, prefix) })
		}
		if fits {
			found = append(found, x)
		}
	}
	slices.SortFunc(found, func(a, b *secret) int { return a.number - b.number })
	var page struct {
		SecretList []answer
		NextToken  string `json:",omitempty"`
	}
	for _, x := range found[:min(most, len(found))] {
		a := x.summary()
		a.SecretVersionsToStages = x.stages()
		page.SecretList = append(page.SecretList, a)
	}
	if len(found) > most {
		page.NextToken = strconv.Itoa(found[most-1].number)
	}
	return page, nil
}

func (s *Server) listVersions(q request) (any, error) {
	x, err := s.usable(q.SecretId)
	if err != nil {
		return nil, err
	}
	var all struct {
		ARN, Name string
		Versions  []answerVersion
	}
	all.ARN, all.Name = x.arn, x.name
	for _, v := range x.sorted() {
		if len(v.labels) > 0 || q.IncludeDeprecated {
			all.Versions = append(all.Versions, answerVersion{v.id, v.labels, at(v.created)})
		}
	}
	return all, nil
}

type answerVersion struct {
	VersionId     string
	VersionStages []string `json:",omitempty"`
	CreatedDate   *seconds
}
