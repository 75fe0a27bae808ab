package awssecrets_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager/types"
	"github.com/aws/smithy-go"

	"github.com/graphtoken/graphtoken/internal/testkit/mototest"
	"github.com/graphtoken/graphtoken/internal/testkit/secretstest"
)

// The promises on which the backend builds must hold for the double and, where moto is
// right, for moto: different people made the two.

func TestTheDoubleIsTrue(t *testing.T) {
	double := secretstest.Start(t, secretstest.Options{})
	service{T: t, Client: connect(double.URL, nil), exact: true}.try()
}

func TestMotoAgrees(t *testing.T) {
	service{T: t, Client: connect(mototest.Start(t).URL, nil)}.try()
}

// service is asked as its API reference says.
type service struct {
	*testing.T
	*secretsmanager.Client
	prefix string
	exact  bool // false: leave out what moto gets wrong
}

// token is a ClientRequestToken, which has 32 to 64 characters.
func token(n int) string { return strings.Repeat(string(rune('a'+n)), 32) }

func (s service) try() {
	s.versions()
	for name, part := range map[string]func(service){
		"deleting and restoring": service.deleting,
		"names and ARNs":         service.names,
		"lists come in pages":    service.lists,
	} {
		s.part(name, part)
	}
}

// versions are the parts that don't delete.
func (s service) versions() {
	for name, part := range map[string]func(service){
		"tokens are idempotent":        service.tokens,
		"labels move":                  service.labels,
		"what is refused":              service.refusals,
		"AWSCURRENT and its neighbour": service.rotation,
	} {
		s.part(name, part)
	}
}

func (s service) part(name string, do func(service)) {
	s.Run(name, func(t *testing.T) {
		s := s
		s.T = t
		do(s)
	})
}

// named is the name of a secret, or an ARN as it is.
func (s service) named(name string) *string {
	if !strings.HasPrefix(name, "arn:") {
		name = s.prefix + name
	}
	return &name
}

func (s service) create(name string, n int, value string) *secretsmanager.CreateSecretOutput {
	s.Helper()
	out, err := s.CreateSecret(s.Context(), &secretsmanager.CreateSecretInput{Name: s.named(name), ClientRequestToken: aws.String(token(n)), SecretString: &value})
	if err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = s.delete(name, 0, true) })
	return out
}

func (s service) put(name string, n int, value string, stages ...string) error {
	_, err := s.PutSecretValue(s.Context(), &secretsmanager.PutSecretValueInput{
		SecretId: s.named(name), ClientRequestToken: aws.String(token(n)), SecretString: &value, VersionStages: stages,
	})
	return err
}

// move names no version where n is negative.
func (s service) move(name, stage string, from, to int) error {
	in := &secretsmanager.UpdateSecretVersionStageInput{SecretId: s.named(name), VersionStage: &stage}
	if from >= 0 {
		in.RemoveFromVersionId = aws.String(token(from))
	}
	if to >= 0 {
		in.MoveToVersionId = aws.String(token(to))
	}
	_, err := s.UpdateSecretVersionStage(s.Context(), in)
	return err
}

func (s service) get(name, stage string) (value string, err error) {
	out, err := s.GetSecretValue(s.Context(), &secretsmanager.GetSecretValueInput{SecretId: s.named(name), VersionStage: &stage})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.SecretString), nil
}

func (s service) wantValue(name, stage, want string) {
	s.Helper()
	if got, err := s.get(name, stage); err != nil || got != want {
		s.Errorf("%s of %s = %q, %v; want %q", stage, name, got, err, want)
	}
}

func (s service) delete(id string, days int64, force bool) error {
	in := &secretsmanager.DeleteSecretInput{SecretId: s.named(id)}
	if days > 0 {
		in.RecoveryWindowInDays = &days
	}
	if force {
		in.ForceDeleteWithoutRecovery = &force
	}
	_, err := s.DeleteSecret(context.WithoutCancel(s.Context()), in)
	return err
}

// wantCode wants an exception of the service, and none for "".
func (s service) wantCode(err error, want string) {
	s.Helper()
	got := ""
	if api := smithy.APIError(nil); errors.As(err, &api) {
		got = api.ErrorCode()
	} else if err != nil {
		s.Errorf("%v is no exception of the service", err)
	}
	if got != want {
		s.Errorf("the answer is %v, want %q", err, want)
	}
}

const (
	exists    = "ResourceExistsException"
	notFound  = "ResourceNotFoundException"
	parameter = "InvalidParameterException"
	request   = "InvalidRequestException"
)

func (s service) tokens() {
	created := s.create("tokens", 0, "0")
	if aws.ToString(created.VersionId) != token(0) {
		s.Errorf("the version is %s", aws.ToString(created.VersionId))
	}
	if again := s.create("tokens", 0, "0"); aws.ToString(again.ARN) != aws.ToString(created.ARN) {
		s.Error("the same request made another secret")
	}
	_, err := s.CreateSecret(s.Context(), &secretsmanager.CreateSecretInput{Name: s.named("tokens"), ClientRequestToken: aws.String(token(0)), SecretString: aws.String("other")})
	s.wantCode(err, exists)
	_, err = s.CreateSecret(s.Context(), &secretsmanager.CreateSecretInput{Name: s.named("tokens"), ClientRequestToken: aws.String(token(1)), SecretString: aws.String("0")})
	s.wantCode(err, exists)

	s.wantCode(s.put("tokens", 2, "2"), "")
	s.wantCode(s.put("tokens", 2, "2"), "")
	s.wantCode(s.put("tokens", 2, "other"), exists)
	s.wantCode(s.put("tokens", 3, "3"), "")
	s.wantCode(s.put("tokens", 2, "2"), "")
	if s.exact { // moto makes it the current one again
		s.wantValue("tokens", "AWSCURRENT", "3")
	}
	_, err = s.PutSecretValue(s.Context(), &secretsmanager.PutSecretValueInput{SecretId: s.named("tokens"), ClientRequestToken: aws.String("short"), SecretString: aws.String("4")})
	if err == nil {
		s.Error("a token of five characters is taken")
	}
}

func (s service) labels() {
	s.create("labels", 0, "0")
	s.wantCode(s.put("labels", 1, "1", "mine"), "")
	s.wantValue("labels", "AWSCURRENT", "0")
	s.wantValue("labels", "mine", "1")
	s.wantCode(s.put("labels", 2, "2", "mine"), "")
	s.wantValue("labels", "mine", "2")

	// The compare-and-swap that saves are built on.
	s.wantCode(s.move("labels", "AWSCURRENT", 1, 2), parameter)
	s.wantCode(s.move("labels", "AWSCURRENT", -1, 2), parameter)
	s.wantValue("labels", "AWSCURRENT", "0")
	s.wantCode(s.move("labels", "AWSCURRENT", 0, 2), "")
	s.wantValue("labels", "AWSCURRENT", "2")
	s.wantValue("labels", "AWSPREVIOUS", "0")
	s.wantCode(s.move("labels", "AWSCURRENT", 0, 1), parameter)
	s.wantCode(s.move("labels", "AWSCURRENT", 0, 2), parameter)
	s.wantCode(s.move("labels", "AWSCURRENT", 2, 1), "") // which has no label any more
	s.wantValue("labels", "AWSCURRENT", "1")
	s.wantValue("labels", "AWSPREVIOUS", "2")
	if s.exact {
		s.wantCode(s.move("labels", "AWSCURRENT", 1, -1), parameter)
		s.wantCode(s.move("labels", "mine", -1, 0), parameter)
		s.wantCode(s.move("labels", "mine", 2, -1), "")
		s.wantCode(s.move("labels", "mine", -1, 0), "")
		s.wantCode(s.move("labels", "mine", 0, 25), notFound)
		many := make([]string, 21)
		for i := range many {
			many[i] = string(rune('A' + i))
		}
		s.wantCode(s.put("labels", 4, "4", many...), "LimitExceededException")
	}
}

// rotation is as answers of the service were recorded.
func (s service) rotation() {
	stages := func() map[string]string {
		out, err := s.DescribeSecret(s.Context(), &secretsmanager.DescribeSecretInput{SecretId: s.named("rotation")})
		if err != nil {
			s.Fatal(err)
		}
		all := make(map[string]string)
		for id, stages := range out.VersionIdsToStages {
			if len(stages) == 0 {
				continue // moto keeps them in the list
			}
			all[id[:1]] = strings.Join(slices.Sorted(slices.Values(stages)), " ")
		}
		return all
	}
	want := func(want map[string]string) {
		s.Helper()
		if got := stages(); !maps.Equal(got, want) {
			s.Errorf("%v, want %v", got, want)
		}
	}
	s.create("rotation", 0, "0")
	s.wantCode(s.put("rotation", 1, "1", "AWSPENDING", "own"), "")
	want(map[string]string{"a": "AWSCURRENT", "b": "AWSPENDING own"})
	s.wantCode(s.move("rotation", "AWSCURRENT", 0, 1), "")
	want(map[string]string{"a": "AWSPREVIOUS", "b": "AWSCURRENT AWSPENDING own"})
	s.wantCode(s.put("rotation", 2, "2", "AWSPENDING"), "")
	want(map[string]string{"a": "AWSPREVIOUS", "b": "AWSCURRENT own", "c": "AWSPENDING"})
	s.wantCode(s.move("rotation", "AWSCURRENT", 1, 2), "")
	want(map[string]string{"b": "AWSPREVIOUS own", "c": "AWSCURRENT AWSPENDING"})
	if s.exact {
		s.wantCode(s.put("rotation", 3, "3"), "")
		want(map[string]string{"b": "own", "c": "AWSPREVIOUS", "d": "AWSCURRENT"})
		out, err := s.ListSecretVersionIds(s.Context(), &secretsmanager.ListSecretVersionIdsInput{SecretId: s.named("rotation"), IncludeDeprecated: aws.Bool(true)})
		if err != nil || len(out.Versions) != 4 {
			s.Errorf("%+v, %v", out, err)
		}
	}
}

func (s service) deleting() {
	for _, days := range []int64{6, 31} {
		s.create("window", 0, "0")
		s.wantCode(s.delete("window", days, false), parameter)
	}
	s.wantCode(s.delete("window", 7, true), parameter)
	s.wantCode(s.delete("window", 7, false), "")
	_, err := s.get("window", "AWSCURRENT")
	s.wantCode(err, request)
	described, err := s.DescribeSecret(s.Context(), &secretsmanager.DescribeSecretInput{SecretId: s.named("window")})
	if err != nil || described.DeletedDate == nil || len(described.VersionIdsToStages) != 1 {
		s.Errorf("%+v, %v", described, err)
	} else if left := time.Until(*described.DeletedDate); left < 6*24*time.Hour || left > 8*24*time.Hour {
		s.Errorf("it goes in %v", left)
	}
	if s.exact { // moto writes to it all the same
		s.wantCode(s.put("window", 1, "1"), request)
		s.wantCode(s.move("window", "AWSCURRENT", 0, 0), request)
		s.wantCode(s.delete("window", 7, false), request)
		_, err = s.CreateSecret(s.Context(), &secretsmanager.CreateSecretInput{Name: s.named("window"), ClientRequestToken: aws.String(token(0)), SecretString: aws.String("0")})
		s.wantCode(err, request)
	}
	if _, err = s.RestoreSecret(s.Context(), &secretsmanager.RestoreSecretInput{SecretId: s.named("window")}); err != nil {
		s.Error(err)
	}
	s.wantValue("window", "AWSCURRENT", "0")
	s.wantCode(s.delete("window", 0, false), "")
	s.wantCode(s.delete("window", 0, true), "")
	s.wantCode(s.delete("window", 0, true), "") // of nothing
	s.wantCode(s.delete("window", 0, false), notFound)
	_, err = s.get("window", "AWSCURRENT")
	s.wantCode(err, notFound)
	s.create("window", 0, "again")
}

// names is what leases are built on: an ARN is that of one secret, whatever
// comes to be called the same.
func (s service) names() {
	first := aws.ToString(s.create("names", 0, "0").ARN)
	s.wantValue(first, "AWSCURRENT", "0")
	s.wantCode(s.delete(first, 0, true), "")
	second := aws.ToString(s.create("names", 1, "1").ARN)
	if first == second {
		s.Fatal("two secrets have one ARN")
	}
	s.wantCode(s.put(first, 2, "2"), notFound)
	_, err := s.get(first, "AWSCURRENT")
	s.wantCode(err, notFound)
	s.wantCode(s.delete(first, 0, true), "")
	s.wantValue("names", "AWSCURRENT", "1")
	s.wantValue(second, "AWSCURRENT", "1")
	s.wantValue(second[:len(second)-7], "AWSCURRENT", "1")

	// By its name a secret is found even if that ends as an ARN does.
	s.create("names-a1b2c3", 3, "3")
	s.wantValue("names-a1b2c3", "AWSCURRENT", "3")
	s.wantValue("names", "AWSCURRENT", "1")
	s.create("NAMES", 4, "4")
	s.wantValue("names", "AWSCURRENT", "1")
}

func (s service) lists() {
	want := make(map[string]bool)
	for i := range 7 {
		name := "list/" + string(rune('a'+i))
		s.create(name, 0, "0")
		want[name] = true
	}
	s.create("List/a", 0, "0")
	s.create("a/list/a", 0, "0")
	s.wantCode(s.delete("list/c", 7, false), "")
	delete(want, "list/c")
	pages := secretsmanager.NewListSecretsPaginator(s.Client, &secretsmanager.ListSecretsInput{
		MaxResults: aws.Int32(2),
		Filters:    []types.Filter{{Key: types.FilterNameStringTypeName, Values: []string{"list/"}}},
	})
	n := 0
	for ; pages.HasMorePages(); n++ {
		page, err := pages.NextPage(s.Context())
		if err != nil {
			s.Fatal(err)
		}
		if len(page.SecretList) > 2 {
			s.Errorf("a page of %d", len(page.SecretList))
		}
		for _, secret := range page.SecretList {
			if !want[*secret.Name] {
				s.Errorf("%s is listed", *secret.Name)
			}
			delete(want, *secret.Name)
		}
	}
	if len(want) > 0 || n != 3 {
		s.Errorf("not listed in %d pages: %v", n, want)
	}
}

func (s service) refusals() {
	_, err := s.get("absent", "AWSCURRENT")
	s.wantCode(err, notFound)
	s.wantCode(s.put("absent", 0, "0"), notFound)
	s.wantCode(s.move("absent", "AWSCURRENT", 0, 1), notFound)
	_, err = s.DescribeSecret(s.Context(), &secretsmanager.DescribeSecretInput{SecretId: s.named("absent")})
	s.wantCode(err, notFound)
	s.create("there", 0, "0")
	_, err = s.get("there", "nowhere")
	s.wantCode(err, notFound)
	if !s.exact {
		return
	}
	_, err = s.GetSecretValue(s.Context(), &secretsmanager.GetSecretValueInput{SecretId: s.named("there"), VersionId: aws.String(token(0)), VersionStage: aws.String("AWSPREVIOUS")})
	s.wantCode(err, request)
	s.wantCode(s.put("there", 1, strings.Repeat("x", 65_537)), "ValidationException")
	s.wantCode(s.put("there", 1, strings.Repeat("x", 65_536)), "")
	_, err = s.CreateSecret(s.Context(), &secretsmanager.CreateSecretInput{Name: s.named("no name")})
	s.wantCode(err, "ValidationException")

	// The first version is the current one, whatever it is put under.
	if _, err := s.CreateSecret(s.Context(), &secretsmanager.CreateSecretInput{Name: s.named("empty")}); err != nil {
		s.Fatal(err)
	}
	s.Cleanup(func() { _ = s.delete("empty", 0, true) })
	_, err = s.get("empty", "AWSCURRENT")
	s.wantCode(err, notFound)
	s.wantCode(s.put("empty", 0, "0", "mine"), "")
	s.wantValue("empty", "AWSCURRENT", "0")
	s.wantCode(s.put("empty", 1, "1", "mine"), "")
	s.wantValue("empty", "AWSCURRENT", "0")
}
