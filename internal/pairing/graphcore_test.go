package pairing

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/adapters/azcore"
	abstractions "github.com/microsoft/kiota-abstractions-go"
	"github.com/microsoft/kiota-abstractions-go/authentication"
	"github.com/microsoft/kiota-abstractions-go/serialization"
	jsonserialization "github.com/microsoft/kiota-serialization-json-go"
	msgraphcore "github.com/microsoftgraph/msgraph-sdk-go-core"
	graphauth "github.com/microsoftgraph/msgraph-sdk-go-core/authentication"
	"github.com/microsoftgraph/msgraph-sdk-go-core/fileuploader"
)

// Models as Microsoft's generator would make them, with no more than the tests need.

type message struct{ subject *string }

func (m *message) Serialize(serialization.SerializationWriter) error { return nil }
func (m *message) GetFieldDeserializers() map[string]func(serialization.ParseNode) error {
	return map[string]func(serialization.ParseNode) error{
		"subject": func(n serialization.ParseNode) (err error) { m.subject, err = n.GetStringValue(); return err },
	}
}

type messages struct {
	value []serialization.Parsable
	next  *string
}

func (m *messages) GetValue() []serialization.Parsable                { return m.value }
func (m *messages) GetOdataNextLink() *string                         { return m.next }
func (m *messages) Serialize(serialization.SerializationWriter) error { return nil }
func (m *messages) GetFieldDeserializers() map[string]func(serialization.ParseNode) error {
	return map[string]func(serialization.ParseNode) error{
		"value": func(n serialization.ParseNode) (err error) {
			m.value, err = n.GetCollectionOfObjectValues(func(serialization.ParseNode) (serialization.Parsable, error) { return new(message), nil })
			return err
		},
		"@odata.nextLink": func(n serialization.ParseNode) (err error) { m.next, err = n.GetStringValue(); return err },
	}
}

func newMessages(serialization.ParseNode) (serialization.Parsable, error) { return new(messages), nil }

// uploadSession is what Graph answers with, as fileuploader wants it.
type uploadSession struct {
	url    string
	ranges []string
	until  *time.Time
}

func (u *uploadSession) GetExpirationDateTime() *time.Time  { return u.until }
func (u *uploadSession) SetExpirationDateTime(t *time.Time) { u.until = t }
func (u *uploadSession) GetNextExpectedRanges() []string    { return u.ranges }
func (u *uploadSession) SetNextExpectedRanges(r []string)   { u.ranges = r }
func (u *uploadSession) GetOdataType() *string              { return nil }
func (u *uploadSession) GetUploadUrl() *string              { return &u.url }

func TestMicrosoftsPageIteratorAndFileUploaderWorkWithStoredTokens(t *testing.T) {
	abstractions.RegisterDefaultDeserializer(func() serialization.ParseNodeFactory { return jsonserialization.NewJsonParseNodeFactory() })
	for name, adapterOf := range map[string]func(*signedIn) *msgraphcore.GraphRequestAdapterBase{
		"over the transport": func(s *signedIn) *msgraphcore.GraphRequestAdapterBase {
			return graphCore(t, &authentication.AnonymousAuthenticationProvider{}, s.transport())
		},
		"with the credential": func(s *signedIn) *msgraphcore.GraphRequestAdapterBase {
			auth, err := graphauth.NewAzureIdentityAuthenticationProviderWithScopes(azcore.New(s, azcore.Options{}), scopes)
			if err != nil {
				t.Fatal(err)
			}
			return graphCore(t, auth, s.idp.HTTPClient().Transport)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := signIn(t)
			adapter := adapterOf(s)
			for n := range 25 {
				status, _, err := through(adapter)(t.Context(), http.MethodPost, "/me/messages", fmt.Appendf(nil, `{"subject":"%d"}`, n))
				if err != nil || status != http.StatusOK {
					t.Fatal(status, err)
				}
			}
			if got := subjects(t, s, adapter); len(got) != 25 || got[24] != "24" {
				t.Errorf("the pages have %q", got)
			}

			content := bytes.Repeat([]byte("0123456789abcdef"), 64<<10) // 1 MiB, in four parts
			if !upload(t, adapter, "large.bin", content) {
				t.Fatal("the upload failed")
			}
			if stored, _ := s.idp.Graph().File("large.bin"); !bytes.Equal(stored, content) {
				t.Errorf("%d bytes are stored of %d", len(stored), len(content))
			}
		})
	}
}

// subjects lists the messages. Between the first page and the second, no token that was
// given is good any longer: a challenge for the credential, which isn't told of a plain 401.
func subjects(t *testing.T, s *signedIn, adapter *msgraphcore.GraphRequestAdapterBase) []string {
	t.Helper()
	info := abstractions.NewRequestInformation()
	info.Method, info.UrlTemplate = abstractions.GET, graphURL+"/me/messages"
	first, err := adapter.Send(t.Context(), info, newMessages, nil)
	if err != nil {
		t.Fatal(err)
	}
	pages, err := msgraphcore.NewPageIterator[*message](first, adapter, newMessages)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.idp.Graph().Demand(`{"access_token":{"nbf":{"essential":true,"value":"1604106651"}}}`); err != nil {
		t.Fatal(err)
	}
	var all []string
	if err := pages.Iterate(t.Context(), func(m *message) bool {
		all = append(all, *m.subject)
		return true
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func upload(t *testing.T, adapter *msgraphcore.GraphRequestAdapterBase, name string, content []byte) bool {
	t.Helper()
	status, answer, err := through(adapter)(t.Context(), http.MethodPost, "/me/drive/root:/"+name+":/createUploadSession", []byte("{}"))
	if err != nil || status != http.StatusOK {
		t.Fatal(status, err)
	}
	var session struct {
		UploadURL          string
		ExpirationDateTime time.Time
		NextExpectedRanges []string
	}
	if err := json.Unmarshal(answer, &session); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	task := fileuploader.NewLargeFileUploadTask[*message](adapter, &uploadSession{session.UploadURL, session.NextExpectedRanges, &session.ExpirationDateTime},
		file, 256<<10, func(serialization.ParseNode) (serialization.Parsable, error) { return new(message), nil }, nil)
	result := task.Upload(func(int64, int64) {})
	for _, err := range result.GetResponseErrors() {
		t.Error(err)
	}
	return result.GetUploadSucceeded()
}
