package awskms_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/smithy-go"

	"github.com/graphtoken/graphtoken/crypto"
	"github.com/graphtoken/graphtoken/crypto/awskms"
	"github.com/graphtoken/graphtoken/internal/testkit/keyservicetest"
	"github.com/graphtoken/graphtoken/internal/testkit/mototest"
)

// mended answers for a ciphertext of another key as the service does: moto calls that a
// missing permission.
type mended struct{}

func (mended) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err != nil || answer.StatusCode != http.StatusBadRequest {
		return answer, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.Header.Get("X-Amzn-Errortype") == "AccessDeniedException" {
		body = []byte(`{"__type": "IncorrectKeyException", "message": "The key ID in the request does not identify a CMK that can perform this operation."}`)
		answer.Header.Set("X-Amzn-Errortype", "IncorrectKeyException")
		answer.Header.Del("Content-Length")
		answer.ContentLength = int64(len(body))
	}
	answer.Body = io.NopCloser(bytes.NewReader(body))
	return answer, nil
}

const secretAccessKey = "secret-access-key-of-a-test"

func connect(endpoint string) *kms.Client {
	return kms.New(kms.Options{
		BaseEndpoint:     aws.String(endpoint),
		Region:           "us-east-1",
		Credentials:      credentials.NewStaticCredentialsProvider("id", secretAccessKey, ""),
		HTTPClient:       &http.Client{Transport: mended{}},
		RetryMaxAttempts: 1,
	})
}

func createKey(t testing.TB, client *kms.Client) string {
	out, err := client.CreateKey(context.Background(), &kms.CreateKeyInput{})
	if err != nil {
		t.Fatalf("creating a key: %v", err)
	}
	return *out.KeyMetadata.Arn
}

func newKey(t testing.TB, client awskms.Client, id string, o awskms.Options) *awskms.Key {
	k, err := awskms.New(client, id, o)
	if err != nil {
		t.Fatalf("%v", err)
	}
	return k
}

var o = awskms.Options{Context: map[string]string{"purpose": "tokens"}}

func TestConformance(t *testing.T) {
	client := connect(mototest.Start(t).URL)
	id, other := createKey(t, client), createKey(t, client)
	keyservicetest.Conform(t, newKey(t, client, id, o), newKey(t, client, other, o), secretAccessKey)
}

// TestLive runs on the service itself, with two keys that are there:
//
//	AWS_REGION=… AWS_ACCESS_KEY_ID=… AWS_SECRET_ACCESS_KEY=… [AWS_SESSION_TOKEN=…] \
//	GRAPHTOKEN_LIVE_KMS_KEYS=alias/one,alias/two go test -run Live -timeout 30m
//
// It makes some thousand calls, which cost a cent. Both keys need kms:Encrypt and kms:Decrypt.
func TestLive(t *testing.T) {
	id, other, ok := strings.Cut(os.Getenv("GRAPHTOKEN_LIVE_KMS_KEYS"), ",")
	if !ok {
		t.Skip("GRAPHTOKEN_LIVE_KMS_KEYS doesn't name two keys")
	}
	client := kms.New(kms.Options{Region: os.Getenv("AWS_REGION"), Credentials: credentials.NewStaticCredentialsProvider(
		os.Getenv("AWS_ACCESS_KEY_ID"), os.Getenv("AWS_SECRET_ACCESS_KEY"), os.Getenv("AWS_SESSION_TOKEN"))})
	keyservicetest.Conform(t, newKey(t, client, id, o), newKey(t, client, other, o), secretAccessKey)
}

// wantKind expects that an error is of one of three kinds, and of no other.
func wantKind(t *testing.T, what string, err error, kind string) {
	t.Helper()
	if got := keyservicetest.Kind(err); got != kind {
		t.Errorf("%s: %v, which is %s; want %s", what, err, got, kind)
	}
}

func TestEachKindOfFailureIsToldFromTheOthers(t *testing.T) {
	client := connect(mototest.Start(t).URL)
	id, other := createKey(t, client), createKey(t, client)
	key := newKey(t, client, id, awskms.Options{})
	wrapped := keyservicetest.Wrap(t, key)
	if wrapped.KeyID != id {
		t.Errorf("the wrapped key names %s, want the key's ARN %s", wrapped.KeyID, id)
	}
	if got, err := key.Unwrap(t.Context(), wrapped); err != nil || !bytes.Equal(got, keyservicetest.DataKey) {
		t.Errorf("Unwrap = %x, %v", got, err)
	}
	unwrap := func(k *awskms.Key, w crypto.WrappedKey) error { _, err := k.Unwrap(t.Context(), w); return err }

	wantKind(t, "another key", unwrap(newKey(t, client, other, awskms.Options{}), wrapped), "another key's")
	// The record's word for the key counts for nothing.
	wantKind(t, "another key that the record names", unwrap(key, keyservicetest.Wrap(t, newKey(t, client, other, awskms.Options{}))), "another key's")
	wantKind(t, "another context", unwrap(newKey(t, client, id, awskms.Options{Context: map[string]string{"a": "b"}}), wrapped), "damaged")
	altered := crypto.WrappedKey{KeyID: wrapped.KeyID, Data: bytes.Clone(wrapped.Data)}
	altered.Data[len(altered.Data)-1] ^= 1
	wantKind(t, "an altered data key", unwrap(key, altered), "damaged")
	wantKind(t, "a data key of 10 KB", unwrap(key, crypto.WrappedKey{KeyID: id, Data: make([]byte, 10<<10)}), "damaged")
	_, err := newKey(t, client, "alias/nobody-made-this", awskms.Options{}).Wrap(t.Context(), keyservicetest.DataKey)
	wantKind(t, "a key that isn't there", err, "denied")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	wantKind(t, "nobody there", unwrap(newKey(t, connect("http://"+l.Addr().String()), id, awskms.Options{}), wrapped), "unreachable")
}

// The test has answers that moto doesn't give, in the service's words.
func TestTheServicesErrorsHaveTheirKinds(t *testing.T) {
	for code, kind := range map[string]string{
		"AccessDeniedException":      "denied",
		"DisabledException":          "denied",
		"KMSInvalidStateException":   "denied",
		"NotFoundException":          "denied",
		"ExpiredTokenException":      "denied",
		"InvalidCiphertextException": "damaged",
		"IncorrectKeyException":      "another key's",
		"KeyUnavailableException":    "unreachable",
		"DependencyTimeoutException": "unreachable",
		"KMSInternalException":       "unreachable",
		"ThrottlingException":        "unreachable",
		"LimitExceededException":     "unreachable",
	} {
		key := newKey(t, refusing(code), "alias/tokens", awskms.Options{})
		_, err := key.Unwrap(t.Context(), crypto.WrappedKey{KeyID: "arn", Data: []byte{1}})
		wantKind(t, code, err, kind)
	}
}

// refusing is a client whose server answers one error.
func refusing(code string) *kms.Client {
	return kms.New(kms.Options{
		Region:           "us-east-1",
		Credentials:      credentials.NewStaticCredentialsProvider("id", secretAccessKey, ""),
		RetryMaxAttempts: 1,
		HTTPClient: doer(func(*http.Request) (*http.Response, error) {
			return &http.Response{
				StatusCode: http.StatusBadRequest,
				Header:     http.Header{"X-Amzn-Errortype": {code}},
				Body:       io.NopCloser(strings.NewReader(`{"__type": "` + code + `", "message": "no"}`)),
			}, nil
		}),
	})
}

type doer func(*http.Request) (*http.Response, error)

func (d doer) Do(r *http.Request) (*http.Response, error) { return d(r) }

// Of some of these the SDK's error quotes what it was given.
func TestAnAnswerThatCannotBeReadIsNotShown(t *testing.T) {
	const secret = "c2VjcmV0LWRhdGEta2V5LW9m"
	for _, body := range []string{
		`{"Plaintext":"` + secret, `{"Plaintext":{"` + secret + `":"` + secret + `"}}`, `{"Plaintext":"` + secret + `!"}`, `{"KeyId":{"` + secret + `":1}}`,
		`"{\"Plaintext\":\"` + secret + `\"}"`, `"` + secret + `"`, `["` + secret + `"]`, `<html>` + secret + `</html>`, secret,
	} {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) }))
		_, err := newKey(t, connect(s.URL), "k", o).Unwrap(t.Context(), crypto.WrappedKey{KeyID: "k", Data: []byte("x")})
		s.Close()
		var unread *smithy.DeserializationError
		if !errors.As(err, &unread) || keyservicetest.Kind(err) != "unreachable" || strings.Contains(fmt.Sprintf("%v %+v %#v %s", err, err, err, unread.Snapshot), secret) {
			t.Errorf("%s: Unwrap = %v", body, err)
		}
	}
}

func TestAKeyPrintsItsNameAlone(t *testing.T) {
	key := newKey(t, connect("http://127.0.0.1:1"), "alias/tokens", awskms.Options{})
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		if text := fmt.Sprintf(verb, key); text != "[KMS key alias/tokens]" {
			t.Errorf("%s prints %s", verb, text)
		}
	}
}

func TestNewRefusesOptionsThatCannotWork(t *testing.T) {
	if k, err := awskms.New(nil, "alias/tokens", awskms.Options{}); err == nil || k != nil {
		t.Errorf("no client: %v, %v", k, err)
	}
	if k, err := awskms.New(connect("http://127.0.0.1:1"), "", awskms.Options{}); err == nil || k != nil {
		t.Errorf("no key: %v, %v", k, err)
	}
}
