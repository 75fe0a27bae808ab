package firestore_test

import (
	"testing"

	"github.com/graphtoken/graphtoken/backends/firestore"
	"github.com/graphtoken/graphtoken/internal/testkit/firestoretest"
	"github.com/graphtoken/graphtoken/internal/testkit/native"
)

func TestARecordIsUsedUnderTheIDOfItsDocument(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		for _, name := range []string{"token_ana@contoso.com", "a+b=c d", "100%", "%40", "日本語", "%%64o36d1g"} {
			backend, documents, _ := open(t, s, firestore.Options{NativeNames: true, DeleteDocuments: true})
			native.Check(t, backend, name, native.Place{
				Put: func(data string) {
					if _, err := documents.Doc(name).Set(t.Context(), map[string]any{"token": data}); err != nil {
						t.Fatal(err)
					}
				},
				Get: func() (string, bool) {
					found, err := documents.Doc(name).Get(t.Context())
					if found == nil || !found.Exists() {
						return "", false
					}
					data, ok := found.Data()["token"].(string)
					if err != nil || !ok {
						t.Fatalf("%v, %v", found.Data(), err)
					}
					return data, true
				},
			})
		}
	})
}
