package firestore_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	pb "cloud.google.com/go/firestore/apiv1/firestorepb"

	"github.com/graphtoken/graphtoken/backends/firestore"
	"github.com/graphtoken/graphtoken/internal/testkit/firestoretest"
)

// permissions of methods, "Required permissions for API methods" in
// https://firebase.google.com/docs/firestore/security/iam. Listen isn't in it: it
// reads documents, and is taken to need what reading a collection does.
var permissions = map[string][]string{
	"BatchGetDocuments": {"datastore.entities.get"},
	"RunQuery":          {"datastore.entities.get", "datastore.entities.list"},
	"Listen":            {"datastore.entities.get", "datastore.entities.list"},
	"Commit":            nil, // see permissionsOf
}

// permissionsOf is what Commit needs for a write. A condition on the update time
// implies that the document exists.
func permissionsOf(w *pb.Write) []string {
	if w.GetDelete() != "" {
		return []string{"datastore.entities.delete"}
	}
	switch c := w.CurrentDocument.GetConditionType().(type) {
	case *pb.Precondition_Exists:
		if !c.Exists {
			return []string{"datastore.entities.create"}
		}
	case nil:
		return []string{"datastore.entities.create", "datastore.entities.update"}
	}
	return []string{"datastore.entities.update"}
}

func TestTheRoleIsWhatIsNeededAndNoMore(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		needed := make(map[string]bool)
		for _, whole := range []bool{false, true} {
			b, documents, w := open(t, s, firestore.Options{DeleteDocuments: whole})
			if _, err := documents.Doc("ana").Delete(t.Context()); err != nil {
				t.Fatal(err)
			}
			everything(t, b)
			for _, call := range w.take() {
				of, known := permissions[call]
				if !known {
					t.Errorf("%s is called, and nobody knows what it needs", call)
				}
				for _, p := range of {
					needed[p] = true
				}
			}
			for _, write := range w.writes {
				for _, p := range permissionsOf(write) {
					needed[p] = true
				}
			}
		}
		file, err := os.ReadFile("iam-role.yaml")
		if err != nil {
			t.Fatal(err)
		}
		_, list, _ := strings.Cut(string(file), "includedPermissions:\n")
		var granted []string
		for line := range strings.Lines(list) {
			granted = append(granted, strings.TrimSpace(strings.TrimPrefix(line, "- ")))
		}
		slices.Sort(granted)
		if want := slices.Sorted(maps.Keys(needed)); !slices.Equal(granted, want) {
			t.Errorf("the role grants %q, and needed are %q", granted, want)
		}
	})
}
