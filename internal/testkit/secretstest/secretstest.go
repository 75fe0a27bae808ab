// Package secretstest is a double of AWS Secrets Manager that works with the SDKs:
// it speaks their protocol (AWS JSON 1.1) and behaves as the service's API
// reference says. Details that the reference doesn't mention follow recorded answers of
// the real service.
//
//	server := secretstest.Start(t, secretstest.Options{})
//	client := secretsmanager.New(secretsmanager.Options{BaseEndpoint: aws.String(server.URL), …})
//
// It knows CreateSecret, DescribeSecret, GetSecretValue, PutSecretValue,
// UpdateSecret, UpdateSecretVersionStage, DeleteSecret, RestoreSecret,
// ListSecrets and ListSecretVersionIds. It doesn't know rotation, replication,
// resource policies or KMS, and believes every signature. It is consistent at
// once, which the service isn't.
//
// [Server.Inject] makes requests go wrong, [Server.Calls] counts them, and
// [Server.Advance] moves its clock.
package secretstest

import (
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit"
)

// Options configures a [Server]. The zero value is ready for use.
type Options struct {
	// PurgeTime is how long a secret that was deleted without a recovery window
	// keeps its name, as one scheduled for deletion does. The service takes some
	// seconds; zero takes none.
	PurgeTime time.Duration

	// VersionLimit is the quota of versions that a secret may have; zero means
	// none. The service removes unlabeled versions beyond a hundred, but none
	// that is younger than a day.
	VersionLimit int

	// CheckTime refuses requests that were signed more than five minutes from
	// the server's time.
	CheckTime bool
}

// Server is one account's secrets in one region.
type Server struct {
	URL string // to use as the service's endpoint

	options Options

	mu      sync.Mutex
	secrets map[string]*secret // by name
	made    int                // secrets ever made
	ahead   time.Duration      // of the real clock
	calls   map[string]int
	faults  map[string][]Fault
}

// Start runs a server until the test ends.
func Start(t testkit.TB, o Options) *Server {
	t.Helper()
	s, stop := New(o)
	t.Cleanup(stop)
	return s
}

// New runs a server until it is stopped.
func New(o Options) (s *Server, stop func()) {
	s = &Server{
		options: o,
		secrets: make(map[string]*secret),
		calls:   make(map[string]int),
		faults:  make(map[string][]Fault),
	}
	listener := httptest.NewServer(s)
	s.URL = listener.URL
	return s, listener.Close
}

// Advance moves the server's clock.
func (s *Server) Advance(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead += d
}

// Calls is how many requests have come in for each operation, those that went
// wrong and those that the SDK sent again included.
func (s *Server) Calls() map[string]int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.calls)
}

// Secrets are the names of all secrets, those scheduled for deletion included.
func (s *Server) Secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.purge()
	return slices.Sorted(maps.Keys(s.secrets))
}

// Value is what the current version of a secret holds; nil where there is none.
func (s *Server) Value(name string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.secrets[name]; x != nil {
		if v := x.labelled(current); v != nil {
			return v.bytes()
		}
	}
	return nil
}

// SetValue overwrites the current version of a secret in place, as no request
// can.
func (s *Server) SetValue(name, value string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.secrets[name]; x != nil {
		if v := x.labelled(current); v != nil {
			v.text, v.binary = &value, nil
		}
	}
}

// Stages are the staging labels of each version of a secret that has any.
func (s *Server) Stages(name string) map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if x := s.secrets[name]; x != nil {
		return x.stages()
	}
	return nil
}

// Fault is what happens to one request.
type Fault struct {
	// Status and Code, with Message, are answered instead of doing what was
	// asked.
	Status        int
	Code, Message string
	// Drop breaks the connection instead.
	Drop bool
	// Lose breaks it after having done what was asked, and Cut in the middle of
	// the answer.
	Lose, Cut bool
}

// Faults of the service, as it words them.
var (
	Throttled = Fault{Status: http.StatusBadRequest, Code: "ThrottlingException", Message: "Rate exceeded"}
	Internal  = Fault{Status: http.StatusInternalServerError, Code: "InternalServiceError", Message: "An error occurred on the server side."}
	Expired   = Fault{Status: http.StatusBadRequest, Code: "ExpiredTokenException", Message: "The security token included in the request is expired"}
	Denied    = Fault{Status: http.StatusBadRequest, Code: "AccessDeniedException", Message: "User is not authorized to perform the operation because no identity-based policy allows it"}
)

// Inject lets the faults happen to the next requests for an operation, one
// after the other; "" is any operation.
func (s *Server) Inject(operation string, faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[operation] = append(s.faults[operation], faults...)
}

// fault takes the next fault for an operation.
func (s *Server) fault(operation string) Fault {
	for _, name := range []string{operation, ""} {
		if faults := s.faults[name]; len(faults) > 0 {
			s.faults[name] = faults[1:]
			return faults[0]
		}
	}
	return Fault{}
}

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	operation, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), "secretsmanager.")
	body, err := io.ReadAll(r.Body)
	if err != nil || !ok {
		http.Error(w, "no request of Secrets Manager", http.StatusBadRequest)
		return
	}
	s.mu.Lock()
	s.calls[operation]++
	fault := s.fault(operation)
	var answer any
	switch {
	case fault.Drop:
	case fault.Code != "":
		err = refusal{fault.Status, fault.Code, fault.Message}
	default:
		answer, err = s.answer(r, operation, body)
	}
	now := s.now()
	s.mu.Unlock()
	if fault.Drop || fault.Lose {
		panic(http.ErrAbortHandler)
	}

	status := http.StatusOK
	if no := (refusal{}); errors.As(err, &no) {
		status, answer = no.status, map[string]string{"__type": no.code, "Message": no.message}
	} else if err != nil {
		status, answer = http.StatusBadRequest, map[string]string{"__type": "SerializationException", "Message": err.Error()}
	}
	text, err := json.Marshal(answer)
	if err != nil {
		panic(err)
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("Date", now.UTC().Format(http.TimeFormat))
	w.WriteHeader(status)
	if fault.Cut {
		_, _ = w.Write(text[:len(text)/2])
		_ = http.NewResponseController(w).Flush()
		panic(http.ErrAbortHandler)
	}
	_, _ = w.Write(text)
}

func (s *Server) now() time.Time { return time.Now().Add(s.ahead) }

// answer does what was asked.
func (s *Server) answer(r *http.Request, operation string, body []byte) (any, error) {
	if !strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=") {
		return nil, refusal{http.StatusBadRequest, "MissingAuthenticationTokenException", "Missing Authentication Token"}
	}
	if s.options.CheckTime {
		signed, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
		if err != nil || s.now().Sub(signed).Abs() > 5*time.Minute {
			return nil, refusal{http.StatusBadRequest, "InvalidSignatureException", "Signature not yet current or expired"}
		}
	}
	var q request
	if err := json.Unmarshal(body, &q); err != nil {
		return nil, err
	}
	s.purge()
	switch operation {
	case "CreateSecret":
		return s.create(q)
	case "DescribeSecret":
		return s.describe(q)
	case "GetSecretValue":
		return s.value(q)
	case "PutSecretValue":
		return s.put(q)
	case "UpdateSecret":
		return s.update(q)
	case "UpdateSecretVersionStage":
		return s.updateStage(q)
	case "DeleteSecret":
		return s.delete(q)
	case "RestoreSecret":
		return s.restore(q)
	case "ListSecrets":
		return s.list(q)
	case "ListSecretVersionIds":
		return s.listVersions(q)
	}
	return nil, refusal{http.StatusBadRequest, "UnknownOperationException", ""}
}

// refusal is an error of the service.
type refusal struct {
	status        int
	code, message string
}

func (r refusal) Error() string { return r.code + ": " + r.message }

func refuse(code, message string) error { return refusal{http.StatusBadRequest, code, message} }
