package interop

import (
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/url"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/internal/interop/peers/msalgo"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

var update = flag.Bool("update", false, "write what the libraries write to core/tokencache/testdata/msals")

// document is a record: entries' members by name, by key, by section. A section
// that is no object has the value alone, under "" and "".
type document map[string]map[string]map[string]any

func (p place) document(t *testing.T) document {
	t.Helper()
	var sections map[string]json.RawMessage
	if err := json.Unmarshal(readFile(t, p.dir, record), &sections); err != nil {
		t.Fatal(err)
	}
	d := document{}
	for name, section := range sections {
		var entries map[string]map[string]any
		if json.Unmarshal(section, &entries) != nil {
			entries = map[string]map[string]any{"": {"": string(section)}}
		}
		d[name] = entries
	}
	return d
}

// otherUser is one whose entries are in the record, too.
const otherUser = "bo@contoso.com"

// entriesOfOther are the entries of otherUser, with all that this collection and
// MSAL Python write, and with what no library knows.
func entriesOfOther(home string) document {
	common := func(more map[string]any) map[string]any {
		m := map[string]any{"home_account_id": home, "environment": "login.microsoftonline.com", "unknown": "x"}
		maps.Copy(m, more)
		return m
	}
	at := func(kind, tail string) string {
		return home + "-login.microsoftonline.com-" + kind + "-" + entra.PublicClient + "-" + tail
	}
	claims := `{"sub":"bo","aud":"` + entra.PublicClient + `","preferred_username":"` + otherUser + `","tid":"` + entra.Tenant + `"}`
	return document{
		"AccessToken": {at("accesstoken", "common-user.read"): common(map[string]any{
			"credential_type": "AccessToken", "secret": "at-bo", "client_id": entra.PublicClient, "realm": "common", "target": "User.Read",
			"token_type": "Bearer", "cached_at": "1700000000", "expires_on": "4000000000", "extended_expires_on": "4000000000", "refresh_on": "3900000000",
		})},
		"RefreshToken": {at("refreshtoken", "-user.read"): common(map[string]any{
			"credential_type": "RefreshToken", "secret": "rt-bo", "client_id": entra.PublicClient, "target": "User.Read", "last_modification_time": "1700000000",
		})},
		"IdToken": {at("idtoken", "common-"): common(map[string]any{
			"credential_type": "IdToken", "secret": "e30." + base64.RawURLEncoding.EncodeToString([]byte(claims)) + ".sig", "client_id": entra.PublicClient, "realm": "common",
		})},
		"Account": {home + "-login.microsoftonline.com-common": common(map[string]any{
			"realm": "common", "local_account_id": home[:36], "username": otherUser, "authority_type": "MSSTS",
			"account_source": "authorization_code", "last_modification_time": "1700000000",
		})},
		"AppMetadata": {"appmetadata-login.microsoftonline.com-another-application": {
			"client_id": "another-application", "environment": "login.microsoftonline.com", "unknown": "x",
		}},
		"Unknown": {"entry": {"member": "x"}},
	}
}

// add puts another document's entries into the record.
func (p place) add(t *testing.T, more document) {
	t.Helper()
	d := p.document(t)
	for name, section := range more {
		if d[name] == nil {
			d[name] = map[string]map[string]any{}
		}
		maps.Copy(d[name], section)
	}
	data, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, data, p.dir, record)
}

// row is what the table of docs/other-msals.md says of a library: signedIn is
// what it wrote of one user, after what it made of the entries of otherUser.
func row(name string, signedIn, after, before document) string {
	key, rt := signedIn.first("RefreshToken")
	_, tail, _ := strings.Cut(key, "-refreshtoken-"+entra.PublicClient)
	named := strings.ToLower(strings.Join(slices.Sorted(slices.Values(scopes)), " ") + " openid profile")
	tail = strings.ReplaceAll(tail, named, "SCOPES")
	stamped, metadata := "no", "none"
	if rt["last_modification_time"] != nil {
		stamped = "yes"
	}
	if _, app := signedIn.first("AppMetadata"); app != nil {
		metadata = "one"
	}
	_, at := signedIn.first("AccessToken")
	realm := at["realm"]
	if realm == entra.Tenant {
		realm = "the tenant's ID"
	}
	return fmt.Sprintf("| %s | `%s` | %s | %s | %s | %s | %s |", name, rt["environment"], realm, code(tail), stamped, metadata, losses(before, after))
}

// first returns the first entry of a section, or nil.
func (d document) first(section string) (key string, e map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(d[section])) {
		return key, d[section][key]
	}
	return "", nil
}

func code(s string) string {
	if s == "" {
		return "nothing"
	}
	return "`" + s + "`"
}

// losses are what became of the entries of another user.
func losses(before, after document) string {
	var lost []string
	for section, entries := range before {
		if after[section] == nil {
			lost = append(lost, "`"+section+"`")
			continue
		}
		for key, members := range entries {
			for member, value := range members {
				if got, kept := after[section][key][member]; !kept || !reflect.DeepEqual(got, value) {
					lost = append(lost, "`"+section+"."+member+"`")
				}
			}
		}
	}
	if len(lost) == 0 {
		return "nothing"
	}
	slices.Sort(lost)
	return strings.Join(lost, ", ")
}

// accessTokenFor is a user's token for an API of the confidential client's.
func (p place) accessTokenFor(t *testing.T, username string) string {
	t.Helper()
	resp, err := p.idp.HTTPClient().PostForm(host+entra.Tenant+"/oauth2/v2.0/token", url.Values{
		"grant_type": {"password"}, "client_id": {entra.PublicClient}, "username": {username}, "password": {entra.UserPassword},
		"scope": {"api://" + entra.ConfidentialClient + "/.default"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil || answer.AccessToken == "" {
		t.Fatalf("no token for the API: %v, %s", err, body)
	}
	return answer.AccessToken
}

// core/tokencache/testdata/msals has records that each library wrote, for core's tests, and
// docs/other-msals.md describes them.
func TestTheRecordedFilesAndTheDocumentedTableAreWhatTheLibrariesWrite(t *testing.T) {
	docs := string(readFile(t, "..", "..", "docs", "other-msals.md"))
	for _, l := range libraries {
		t.Run(l.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			if err := p.idp.AddUser(entra.User{Username: otherUser}); err != nil {
				t.Fatal(err)
			}
			program, service := p.theirs(t, l, "common"), p.theirs(t, l, entra.Tenant)
			if err := program.signIn(t); err != nil {
				t.Fatal(err)
			}
			signedIn := p.document(t)
			user, _ := p.idp.User(otherUser)
			before := entriesOfOther(user.HomeAccountID())
			p.add(t, before)
			if _, err := program.refresh(t); err != nil {
				t.Fatal(err)
			}
			if want := row(l.name, signedIn, p.document(t), before); !strings.Contains(docs, want+"\n") {
				t.Errorf("docs/other-msals.md should say of this library:\n%s", want)
			}

			// Tokens of other kinds, bound to more than scopes among them.
			claims := `{"access_token":{"x":null}}`
			for _, c := range []msalgo.Command{
				{Do: "redeem", Code: p.code(t, entra.Tenant), Redirect: redirect, Verifier: verifier, Claims: claims},
				{Do: "application"},
				{Do: "application", Claims: claims},
				{Do: "on behalf", Assertion: p.accessTokenFor(t, otherUser)},
			} {
				if c.Do == "on behalf" && l.name == "MSAL Go" {
					continue // no accessor can keep these: MSAL Go 1.10.1 can't read what it wrote
				}
				if _, err := service.ask(t, c); err != nil {
					t.Fatalf("%s: %v", c.Do, err)
				}
			}
			got, err := json.MarshalIndent(p.document(t).fixed(), "", "\t")
			if err != nil {
				t.Fatal(err)
			}
			name := filepath.Join("..", "..", "core", "tokencache", "testdata", "msals", strings.ToLower(l.name[strings.LastIndexByte(l.name, ' ')+1:])+".json")
			if *update {
				writeFile(t, append(got, '\n'), name)
			}
			if want := readFile(t, name); string(want) != string(got)+"\n" {
				t.Errorf("%s is not what the library writes, which is\n%s", name, got)
			}
		})
	}
}

var (
	times   = regexp.MustCompile(`^\d{10}$`)
	hash    = regexp.MustCompile(`^[A-Za-z0-9_+/=-]{43,44}$`)
	secrets = map[string]string{"AccessToken": "at", "AText": "at", "RefreshToken": "rt"}
)

// fixed returns the document without what differs from run to run: secrets,
// times, and the hash of the assertion that a token was obtained for.
func (d document) fixed() document {
	fixed := document{}
	for name, section := range d {
		fixed[name] = map[string]map[string]any{}
		n := 0
		for _, key := range slices.Sorted(maps.Keys(section)) {
			e := maps.Clone(section[key])
			for member, value := range e {
				text, ok := value.(string)
				switch {
				case !ok:
				case member == "secret" && len(text) > 100:
					e[member] = fixedSecret(name, &n, text)
				case times.MatchString(text) && text > "17000" && text < "39000":
					e[member] = fixedTime(text)
				case strings.Contains(strings.ToLower(member), "assertion") && hash.MatchString(text):
					fixed := strings.Repeat("h", 43)
					key, e[member] = strings.NewReplacer(text, fixed, strings.ToLower(text), fixed).Replace(key), fixed
				}
			}
			fixed[name][key] = e
		}
	}
	return fixed
}

func fixedSecret(section string, n *int, text string) string {
	if section != "IdToken" {
		*n++
		return secrets[section] + "-" + strconv.Itoa(*n)
	}
	var claims map[string]any
	payload, err := base64.RawURLEncoding.DecodeString(strings.Split(text, ".")[1])
	if err != nil || json.Unmarshal(payload, &claims) != nil {
		return text
	}
	fixed := map[string]any{"sub": "sub"}
	for _, name := range []string{"aud", "iss", "name", "oid", "preferred_username", "tid"} {
		fixed[name] = claims[name]
	}
	for _, name := range []string{"iat", "exp"} {
		if at, ok := claims[name].(float64); ok {
			fixed[name] = json.Number(fixedTime(strconv.Itoa(int(at))))
		}
	}
	if payload, err = json.Marshal(fixed); err != nil {
		return text
	}
	return "e30." + base64.RawURLEncoding.EncodeToString(payload) + ".sig"
}

// fixedTime is as far from a round time as text is from now.
func fixedTime(text string) string {
	at, err := strconv.ParseInt(text, 10, 64)
	if err != nil || at < 1_750_000_000 {
		return text
	}
	return strconv.FormatInt(1_700_000_000+(at-time.Now().Unix()+1800)/3600*3600, 10)
}
