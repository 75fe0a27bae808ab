package stores

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"

	gcp "cloud.google.com/go/firestore"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/smithy-go/logging"

	"github.com/graphtoken/graphtoken/backends/awss3"
	"github.com/graphtoken/graphtoken/backends/awssecrets"
	"github.com/graphtoken/graphtoken/backends/bitwarden"
	"github.com/graphtoken/graphtoken/backends/firestore"
	"github.com/graphtoken/graphtoken/core"
)

// loadAWS reads what the AWS command line reads: variables, ~/.aws, the instance's role.
func loadAWS(ctx context.Context, a *address, region string) (aws.Config, error) {
	// The SDK would log to the standard error output of the program. Its errors come back
	// from its calls.
	options := []func(*config.LoadOptions) error{config.WithLogger(logging.Nop{})}
	if region != "" {
		options = append(options, config.WithRegion(region))
	}
	if profile := a.option("profile"); profile != "" {
		options = append(options, config.WithSharedConfigProfile(profile))
	}
	c, err := config.LoadDefaultConfig(ctx, options...)
	if err != nil {
		return c, unreachable(err)
	}
	if endpoint := a.option("endpoint"); endpoint != "" {
		c.BaseEndpoint = &endpoint
	}
	if c.Region == "" {
		return c, a.errorf("no region is set: add ?region=, or set AWS_REGION")
	}
	return c, nil
}

func openS3(ctx context.Context, a *address, o Options) (*Place, error) {
	if a.Host == "" {
		return nil, a.errorf("it names no bucket: s3://bucket/prefix/")
	}
	c, err := loadAWS(ctx, a, a.option("region"))
	if err != nil {
		return nil, err
	}
	pathStyle, err := a.bool("path-style", c.BaseEndpoint != nil)
	if err != nil {
		return nil, err
	}
	native, err := a.native()
	if err != nil {
		return nil, err
	}
	client := s3.NewFromConfig(c, func(s *s3.Options) { s.UsePathStyle = pathStyle })
	b, err := awss3.New(client, a.Host, awss3.Options{Prefix: strings.TrimPrefix(a.Path, "/") + a.prefix(o), KMSKeyID: a.option("kms-key"), NativeNames: native})
	return &Place{Backend: b, Key: a.record}, err
}

func openAWSSecrets(ctx context.Context, a *address, o Options) (*Place, error) {
	c, err := loadAWS(ctx, a, a.Host)
	if err != nil {
		return nil, err
	}
	days := 0
	if text := a.option("recovery-days"); text != "" {
		if days, err = strconv.Atoi(text); err != nil {
			return nil, a.errorf("recovery-days is a number, not %q", core.Printable(text))
		}
	}
	native, err := a.native()
	if err != nil {
		return nil, err
	}
	b, err := awssecrets.New(secretsmanager.NewFromConfig(c), awssecrets.Options{
		Prefix: strings.TrimPrefix(a.Path, "/") + a.prefix(o), RecoveryDays: days, KMSKeyID: a.option("kms-key"), NativeNames: native,
	})
	return &Place{Backend: b, Key: a.record}, err
}

func openFirestore(ctx context.Context, a *address, o Options) (*Place, error) {
	collection := strings.Trim(a.Path, "/")
	if a.Host == "" || collection == "" {
		return nil, a.errorf("it names a project and a collection: firestore://project/collection")
	}
	native, err := a.native()
	if err != nil {
		return nil, err
	}
	database := a.option("database")
	if database == "" {
		database = gcp.DefaultDatabaseID
	}
	client, err := gcp.NewClientWithDatabase(ctx, a.Host, database)
	if err != nil {
		return nil, unreachable(err)
	}
	b, err := firestore.New(client, collection, firestore.Options{Prefix: a.prefix(o), Field: a.option("field"), NativeNames: native})
	if err != nil {
		client.Close()
		return nil, err
	}
	return &Place{Backend: b, Key: a.record, closer: closers(client)}, nil
}

// openBitwarden signs the machine account in, by the token in BWS_ACCESS_TOKEN as
// Bitwarden's own bws does.
func openBitwarden(ctx context.Context, a *address, o Options) (*Place, error) {
	token := os.Getenv("BWS_ACCESS_TOKEN")
	if token == "" {
		return nil, a.errorf("the machine account's access token is missing: set BWS_ACCESS_TOKEN")
	}
	native, err := a.native()
	if err != nil {
		return nil, err
	}
	secrets, err := bitwarden.Login(ctx, token, bitwarden.LoginOptions{
		APIURL: a.option("api"), IdentityURL: a.option("identity"), StateFile: a.option("state"),
	})
	if err != nil {
		return nil, err
	}
	b, err := bitwarden.New(secrets, bitwarden.Options{OrganizationID: a.option("organization"), ProjectID: a.Host, Prefix: a.prefix(o), NativeNames: native})
	return &Place{Backend: b, Key: a.record}, err
}

// native reports whether a record's name is the store's own name for it, as it is: what
// the user has written. Programs that leave NativeNames out escape some characters.
func (a *address) native() (bool, error) {
	switch names := a.option("names"); names {
	case "", "native":
		return true, nil
	case "escaped":
		return false, nil
	default:
		return false, a.errorf("names is native or escaped, not %q", core.Printable(names))
	}
}

func (a *address) bool(name string, otherwise bool) (bool, error) {
	text := a.option(name)
	if text == "" {
		return otherwise, nil
	}
	value, err := strconv.ParseBool(text)
	if err != nil {
		return false, a.errorf("%s is true or false, not %q", name, core.Printable(text))
	}
	return value, nil
}

// unreachable says that a store's client could not be made.
func unreachable(err error) error {
	return &core.Error{Op: "open", Backend: "stores", Err: fmt.Errorf("%w", err)}
}
