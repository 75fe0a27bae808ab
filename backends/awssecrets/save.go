package awssecrets

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"

	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/backend"
)

// Save implements [core.TokenBackend]. A save over a known version takes two calls, any
// other save one call.
func (b *Backend) Save(ctx context.Context, key string, rec core.Record) (core.Version, error) {
	return backend.DoValue(ctx, origin.SaveOp(key, rec, maxSize), func() (core.Version, error) { return b.save(ctx, b.name(key), rec) })
}

// MaxSize implements [core.SizeLimiter]: 65,536 bytes.
func (b *Backend) MaxSize() int { return maxSize }

func (b *Backend) save(ctx context.Context, name string, rec core.Record) (core.Version, error) {
	v := newVersion(rec.Data)
	if rec.Version == core.Absent || rec.Version == core.AnyVersion {
		return core.Version(v.id), b.create(ctx, name, v, rec.Version == core.AnyVersion)
	}
	return core.Version(v.id), b.replace(ctx, name, v, string(rec.Version))
}

// version is a version that is to be saved. Its id is chosen here and sent as the
// ClientRequestToken. If an answer is lost and the SDK sends the call again, the service
// recognizes the call by it, and this backend recognizes its own version.
type version struct {
	id     string
	text   *string
	binary []byte
}

func newVersion(data []byte) version {
	v := version{id: rand.Text() + rand.Text()} // an id has 32 to 64 characters
	if utf8.Valid(data) {
		v.text = aws.String(string(data))
	} else {
		v.binary = data
	}
	return v
}

// tries is how often a save starts again because another process created or deleted the
// secret between two of its calls.
const tries = 5

var errRestless = errors.New("other processes created and deleted the secret again and again during the save: try again")

// create saves if there is no record or, with overwrite, over any record.
func (b *Backend) create(ctx context.Context, name string, v version, overwrite bool) error {
	for range tries {
		var err error
		if overwrite {
			_, err = b.put(ctx, name, v)
		}
		if !overwrite || is[*types.ResourceNotFoundException](err) {
			_, err = b.createSecret(ctx, name, v)
		}
		if !taken(err) {
			return err
		}
		s, unknown := b.look(ctx, name)
		switch {
		case unknown != nil:
			return unknown
		case s.purging:
			if _, err := b.createSecret(ctx, name, v, patiently); !is[*types.ResourceExistsException](err) {
				return err
			}
		case s.scheduled:
			if err := b.restore(ctx, name); err != nil {
				return err
			}
			if !overwrite {
				return b.replace(ctx, name, v, s.current())
			}
		case s.stages[v.id] != nil:
			return nil // an earlier sending succeeded; its answer was lost
		case overwrite:
			if s.exists && is[*types.InvalidRequestException](err) {
				return err // the secret isn't being deleted, so another call won't help
			}
		case s.current() != "":
			return core.ErrConflict
		case s.exists: // but without a version, as Terraform creates them
			return b.replace(ctx, name, v, "")
		}
	}
	return errRestless
}

// taken reports whether an error of CreateSecret or PutSecretValue says that a secret has
// that name, or had it a moment ago, and isn't fit for the call.
func taken(err error) bool {
	return is[*types.ResourceExistsException](err) || is[*types.InvalidRequestException](err)
}

// replace saves over the version seen, or over none if seen is empty. It adds the new
// version beside it and then moves AWSCURRENT, which the service does completely or not
// at all.
func (b *Backend) replace(ctx context.Context, name string, v version, seen string) error {
	if seen != "" && (len(seen) < 32 || len(seen) > 64) {
		return core.ErrConflict // no version has such an id
	}
	put, err := b.put(ctx, name, v, pending)
	switch {
	case is[*types.ResourceNotFoundException](err):
		return core.ErrConflict
	case is[*types.InvalidRequestException](err):
		if s, unknown := b.look(ctx, name); unknown == nil {
			return b.orDeleted(s, err)
		}
		return err
	case err != nil:
		return err
	case slices.Contains(put.VersionStages, current):
		return nil // the service makes the first version of a secret current at once
	}
	move := &secretsmanager.UpdateSecretVersionStageInput{SecretId: &name, VersionStage: aws.String(current), MoveToVersionId: &v.id}
	if seen != "" {
		move.RemoveFromVersionId = &seen
	}
	_, err = b.client.UpdateSecretVersionStage(ctx, move)
	if !is[smithy.APIError](err) {
		return err
	}
	// The service refused because AWSCURRENT isn't at the version seen. Perhaps this call
	// moved it: the SDK repeats a call whose answer was lost.
	s, unknown := b.look(ctx, name)
	switch {
	case unknown != nil:
		return err
	case s.has(v.id, current), s.has(v.id, previous):
		return nil
	case is[*types.InvalidParameterException](err) || s.current() != seen:
		err = core.ErrConflict
	}
	return b.orDeleted(s, err)
}

// orDeleted returns err, unless the secret is deleted or scheduled for deletion: then it
// returns an error that says so.
func (b *Backend) orDeleted(s state, err error) error {
	switch {
	case b.gone(s):
		return core.ErrConflict
	case s.scheduled:
		return ErrScheduledForDeletion
	}
	return err
}

// restore makes a secret usable again that is scheduled for deletion.
func (b *Backend) restore(ctx context.Context, name string) error {
	if b.window == 0 {
		return ErrScheduledForDeletion
	}
	_, err := b.client.RestoreSecret(ctx, &secretsmanager.RestoreSecretInput{SecretId: &name})
	if is[*types.InvalidRequestException](err) {
		return nil // another process has restored it
	}
	return err
}

// put adds a version with these staging labels, or as the current version if there are no
// labels.
func (b *Backend) put(ctx context.Context, id string, v version, stages ...string) (*secretsmanager.PutSecretValueOutput, error) {
	return b.client.PutSecretValue(ctx, &secretsmanager.PutSecretValueInput{
		SecretId:           &id,
		ClientRequestToken: &v.id,
		SecretString:       v.text,
		SecretBinary:       v.binary,
		VersionStages:      stages,
	})
}

func (b *Backend) createSecret(ctx context.Context, name string, v version, how ...func(*secretsmanager.Options)) (*secretsmanager.CreateSecretOutput, error) {
	return b.client.CreateSecret(ctx, &secretsmanager.CreateSecretInput{
		Name:               &name,
		ClientRequestToken: &v.id,
		SecretString:       v.text,
		SecretBinary:       v.binary,
		KmsKeyId:           b.kmsKeyID,
		Description:        &b.description,
		Tags:               b.tags,
	}, how...)
}

// patiently lets the SDK try again, with its pauses, while the name belongs to a secret
// that was deleted a moment ago. The service needs some seconds for that, and its
// documentation asks the caller to wait. If the client is configured not to retry, the call
// isn't retried either.
//
// https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_DeleteSecret.html
func patiently(o *secretsmanager.Options) {
	if o.Retryer.MaxAttempts() == 1 {
		return
	}
	const attempts = 6 // about 15 seconds, at most half a minute
	o.Retryer = retry.AddWithMaxAttempts(retry.AddWithErrorCodes(o.Retryer, (*types.InvalidRequestException)(nil).ErrorCode()), attempts)
}

// Delete implements [core.TokenBackend]. It deletes the secret permanently or, with
// RecoveryDays, schedules it for deletion. It doesn't remove the lease, which belongs to
// its holder.
func (b *Backend) Delete(ctx context.Context, key string) error {
	return backend.Do(ctx, origin.Op("delete", key), func() error { return b.delete(ctx, b.name(key)) })
}

func (b *Backend) delete(ctx context.Context, name string) error {
	in := &secretsmanager.DeleteSecretInput{SecretId: &name}
	if b.window > 0 {
		in.RecoveryWindowInDays = aws.Int64(int64(b.window))
	} else {
		in.ForceDeleteWithoutRecovery = aws.Bool(true)
	}
	_, err := b.client.DeleteSecret(ctx, in)
	switch {
	case is[*types.ResourceNotFoundException](err):
		return nil
	case is[*types.InvalidRequestException](err):
		if s, unknown := b.look(ctx, name); unknown == nil && (b.gone(s) || s.scheduled) {
			return nil
		}
	}
	return err
}
