package firestore_test

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/backends/firestore"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/firestoretest"
	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

// seen is what python-o365 finds: whether there is a token, and the access and
// the refresh token of each user.
type seen struct {
	Loaded bool
	Found  map[string][2]string
}

// noon is when python-o365 wrote the record.
var noon = time.Unix(1_700_000_000, 0)

// o365 starts python-o365 on a document, and returns a function that asks the program.
func o365(t *testing.T, s *firestoretest.Server, document string) func(asked ...string) seen {
	t.Helper()
	cmd := exec.Command(peer.Python(t), "testdata/o365.py", strconv.FormatInt(noon.Unix(), 10), collection(t), document)
	cmd.Env = append(os.Environ(), "FIRESTORE_EMULATOR_HOST="+s.Addr, "GOOGLE_CLOUD_PROJECT="+firestoretest.Project)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Error(err)
		}
	})
	questions, answers := json.NewEncoder(in), json.NewDecoder(out)
	return func(asked ...string) (answer seen) {
		t.Helper()
		if err := questions.Encode(append([]string{}, asked...)); err != nil {
			t.Fatal(err)
		}
		if err := answers.Decode(&answer); err != nil {
			t.Fatal(err)
		}
		return answer
	}
}

func TestPythonO365SharesADocument(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		const key = "o365_token.txt"
		backend, documents, _ := open(t, s, firestore.Options{})
		store := core.NewStore(backend)
		written, err := os.ReadFile("../../core/tokencache/testdata/python-o365/" + key)
		if err != nil {
			t.Fatal(err)
		}
		python := o365(t, s, key)
		if got := python(); got.Loaded {
			t.Errorf("python-o365 finds %v, and nothing is stored", got)
		}
		save(t, backend, key, string(written), core.Absent)

		// Go changes what Python wrote, and Python reads it.
		bo := tokencache.Query{Username: "bo@contoso.com"}
		err = store.Update(t.Context(), key, func(c *tokencache.Cache) error {
			account, _ := c.Account(bo)
			return c.Put(tokencache.TokenResponse{
				AccessToken: "at-go", RefreshToken: "rt-go", Scope: "User.Read", ExpiresIn: 3599, ClientID: "11111111-2222-3333-4444-555555555555",
				Tenant: "common", HomeAccountID: account.HomeAccountID, Sent: noon, GrantType: "refresh_token",
			})
		})
		if err != nil {
			t.Fatal(err)
		}
		want := seen{true, map[string][2]string{"ana@contoso.com": {"at-ana", "rt-ana"}, "bo@contoso.com": {"at-go", "rt-go"}}}
		if got := python(); !reflect.DeepEqual(got, want) {
			t.Errorf("python-o365 finds %v, want %v", got, want)
		}

		// Python changes what Go wrote, and Go reads it, under another version.
		before, err := backend.Load(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		want.Found["bo@contoso.com"] = [2]string{"at-python", "rt-python"}
		if got := python("bo@contoso.com", "at-python", "rt-python"); !reflect.DeepEqual(got, want) {
			t.Errorf("python-o365 finds %v, want %v", got, want)
		}
		if _, err := backend.Save(t.Context(), key, core.Record{Data: written, Version: before.Version}); !errors.Is(err, core.ErrConflict) {
			t.Errorf("Save over what Python wrote = %v", err)
		}
		c, _, err := store.Load(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		access, _ := c.AccessToken(bo)
		refresh, _ := c.RefreshToken(bo)
		if access.Secret.Reveal() != "at-python" || refresh.Secret.Reveal() != "rt-python" {
			t.Errorf("Go finds %q and %q", access.Secret.Reveal(), refresh.Secret.Reveal())
		}

		// Either deletes, and the other finds nothing.
		save(t, backend, key, string(written), core.AnyVersion)
		if err := backend.Delete(t.Context(), key); err != nil {
			t.Fatal(err)
		}
		if got := python(); got.Loaded {
			t.Errorf("python-o365 finds %v, and Go deleted it", got)
		}
		save(t, backend, key, string(written), core.Absent)
		if got := python("delete"); got.Loaded {
			t.Errorf("python-o365 finds %v, and deleted it", got)
		}
		if _, err := backend.Load(t.Context(), key); !errors.Is(err, core.ErrNotFound) {
			t.Errorf("Load of what Python deleted = %v", err)
		}

		// python-o365 stores an encrypted record as bytes.
		save(t, backend, key, string(written), core.Absent)
		python("encrypt", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=")
		found, err := documents.Doc(key).Get(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		rec, err := backend.Load(t.Context(), key)
		if _, isBytes := found.Data()["token"].([]byte); !isBytes || err != nil || !strings.HasPrefix(string(rec.Data), "gAAAA") {
			t.Errorf("of %T Load = %.10q, %v", found.Data()["token"], rec.Data, err)
		}
	})
}
