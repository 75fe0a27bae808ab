package awss3_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"reflect"
	"strconv"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/backends/awss3"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit/peer"
	"github.com/graphtoken/graphtoken/internal/testkit/s3test"
)

// found is what python-o365 finds: the access and the refresh token of each
// user.
type found map[string][2]string

// noon is when python-o365 wrote the record.
var noon = time.Unix(1_700_000_000, 0)

func o365(t *testing.T, url string, args ...string) found {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), peer.Python(t), append([]string{"testdata/o365.py", strconv.FormatInt(noon.Unix(), 10)}, args...)...)
	cmd.Env = append(os.Environ(), "AWS_ENDPOINT_URL="+url, "AWS_DEFAULT_REGION="+s3test.Region,
		"AWS_ACCESS_KEY_ID="+s3test.AccessKey, "AWS_SECRET_ACCESS_KEY="+s3test.SecretKey)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var f found
	if err := json.Unmarshal(out, &f); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return f
}

func TestPythonO365SharesAnObject(t *testing.T) {
	t.Parallel()
	const key = "o365_token.txt"
	url := s3test.Versitygw(t).URL
	at := newPlace(t, url)
	backend, err := awss3.New(at.connect(), at.bucket, awss3.Options{})
	if err != nil {
		t.Fatal(err)
	}
	store := core.NewStore(backend)
	written, err := os.ReadFile("../../core/tokencache/testdata/python-o365/" + key)
	if err != nil {
		t.Fatal(err)
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
	want := found{"ana@contoso.com": {"at-ana", "rt-ana"}, "bo@contoso.com": {"at-go", "rt-go"}}
	if got := o365(t, url, at.bucket, key); !reflect.DeepEqual(got, want) {
		t.Errorf("python-o365 finds %v, want %v", got, want)
	}

	// Python changes what Go wrote, and Go reads it, under another version.
	before, err := backend.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	want["bo@contoso.com"] = [2]string{"at-python", "rt-python"}
	if got := o365(t, url, at.bucket, key, "bo@contoso.com", "at-python", "rt-python"); !reflect.DeepEqual(got, want) {
		t.Errorf("python-o365 finds %v, want %v", got, want)
	}
	c, version, err := store.Load(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	access, _ := c.AccessToken(bo)
	refresh, _ := c.RefreshToken(bo)
	if access.Secret.Reveal() != "at-python" || refresh.Secret.Reveal() != "rt-python" || version == before.Version {
		t.Errorf("Go finds %q and %q under version %q, and before that %q", access.Secret.Reveal(), refresh.Secret.Reveal(), version, before.Version)
	}
}
