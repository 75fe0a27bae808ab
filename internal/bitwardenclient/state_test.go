package bitwardenclient

import (
	"encoding/base64"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// jwt is a bearer token that nobody signed.
func jwt(claims string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".e30"
}

func TestTheStateFileIsTheOfficialSDKs(t *testing.T) {
	key, organization := newTestKey(t, 0), newTestKey(t, 100)
	f := stateFile{path: filepath.Join(t.TempDir(), "state"), key: key}
	bearer := jwt(`{"nbf":1000,"exp":4600,"organization":"ec2c1d46-6a4b-4751-a310-af9601317f2d"}`)
	if err := f.write(&login{bearer: bearer, key: organization}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(f.path)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := key.open(string(text))
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(plain, &fields); err != nil {
		t.Fatal(err)
	}
	if len(fields) != 3 || fields["version"] != 1.0 || fields["token"] != bearer || fields["encryption_key"] != base64.StdEncoding.EncodeToString(organization[:]) {
		t.Errorf("the file holds %s", plain)
	}
	l := f.read()
	if l == nil {
		t.Fatal("what was written isn't read")
	}
	if l.bearer != bearer || *l.key != *organization || l.organization != "ec2c1d46-6a4b-4751-a310-af9601317f2d" || !l.end.Equal(time.Unix(4600, 0)) || !l.renew.Equal(time.Unix(4300, 0)) {
		t.Errorf("read is %s, %v until %v", l.organization, l.renew, l.end)
	}

	for what, s := range map[string]state{
		"of a version to come":       {2, bearer, base64.StdEncoding.EncodeToString(organization[:])},
		"with a key of another kind": {1, bearer, base64.StdEncoding.EncodeToString(make([]byte, 65))},
		"with no key":                {1, bearer, "?"},
		"with no token":              {1, "", base64.StdEncoding.EncodeToString(organization[:])},
		"of nobody's":                {1, jwt(`{"exp":4600}`), base64.StdEncoding.EncodeToString(organization[:])},
		"with claims that are none":  {1, jwt(`4600`), base64.StdEncoding.EncodeToString(organization[:])},
	} {
		plain, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := replace(f.path, key.encrypt(plain).String()); err != nil {
			t.Fatal(err)
		}
		if l := f.read(); l != nil {
			t.Errorf("a state %s is taken for a login", what)
		}
	}
	if err := replace(f.path, key.encrypt([]byte("no JSON")).String()); err != nil {
		t.Fatal(err)
	}
	if f.read() != nil {
		t.Error("a file that is not JSON is taken for a login")
	}
}
