package firestoretest_test

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/firestoretest"
)

var emulator = testkit.Shared[*firestoretest.Server]{Start: firestoretest.Emulator}

func TestMain(m *testing.M) {
	code := m.Run()
	emulator.End()
	os.Exit(code)
}

// onBoth asks the double and the emulator the same things.
func onBoth(t *testing.T, test func(t *testing.T, s *firestoretest.Server)) {
	t.Run("double", func(t *testing.T) { test(t, firestoretest.Double(t)) })
	t.Run("emulator", func(t *testing.T) { test(t, emulator.Get(t)) })
}

func TestBothAnswerAlike(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		client := s.Client(t, "")
		collection := client.Collection("answers")
		text := func(n int) string { return strings.Repeat("x", n) }
		type document = map[string]any
		for i, c := range []struct {
			name  string
			first func(ctx context.Context, doc *firestore.DocumentRef) (*firestore.WriteResult, error)
			then  func(ctx context.Context, doc *firestore.DocumentRef, known time.Time) (*firestore.WriteResult, error)
			want  codes.Code
			left  document // nil: nothing
		}{
			{"create", nil, create(document{"a": "1"}), codes.OK, document{"a": "1"}},
			{"create what is there", set(document{"a": "1"}), create(document{"a": "2"}), codes.AlreadyExists, document{"a": "1"}},
			{"create what was deleted", deleted, create(document{"a": "2"}), codes.OK, document{"a": "2"}},
			{"set over", set(document{"a": "1", "b": "1"}), func(ctx context.Context, doc *firestore.DocumentRef, _ time.Time) (*firestore.WriteResult, error) {
				return doc.Set(ctx, document{"a": "2"})
			}, codes.OK, document{"a": "2"}},
			{"merge", set(document{"a": "1", "b": "1"}), merge(document{"a": "2"}), codes.OK, document{"a": "2", "b": "1"}},
			{"merge into nothing", nil, merge(document{"a": "2"}), codes.OK, document{"a": "2"}},
			{"update", set(document{"a": "1", "b": "1"}), updateKnown("a", "2"), codes.OK, document{"a": "2", "b": "1"}},
			{"update what changed", set(document{"a": "1"}), updateStale("a", "2"), codes.FailedPrecondition, document{"a": "1"}},
			{"update, by its time, what never was", nil, updateKnown("a", "2"), codes.FailedPrecondition, nil},
			{"update, by its time, what was deleted", deleted, updateKnown("a", "2"), codes.FailedPrecondition, nil},
			{"update what never was", nil, update("a", "2"), codes.NotFound, nil},
			{"update what was deleted", deleted, update("a", "2"), codes.NotFound, nil},
			{"remove a field", set(document{"a": "1", "b": "1"}), update("a", firestore.Delete), codes.OK, document{"b": "1"}},
			{"remove a field that isn't there", set(document{"b": "1"}), update("a", firestore.Delete), codes.OK, document{"b": "1"}},
			{"null", set(document{"a": "1"}), update("a", nil), codes.OK, document{"a": nil}},
			{"a field with dashes", set(document{}), update("a-b", "1"), codes.OK, document{"a-b": "1"}},
			{"delete", set(document{"a": "1"}), remove(), codes.OK, nil},
			{"delete what never was", nil, remove(), codes.OK, nil},
			{"delete what is known", set(document{"a": "1"}), removeKnown, codes.OK, nil},
			{"delete what changed", set(document{"a": "1"}), removeStale, codes.FailedPrecondition, document{"a": "1"}},
			{"delete, by its time, what never was", nil, removeKnown, codes.FailedPrecondition, nil},
			{"delete, by its time, what was deleted", deleted, removeKnown, codes.FailedPrecondition, nil},
			{"delete what must exist and doesn't", nil, remove(firestore.Exists), codes.NotFound, nil},
			{"the longest value", nil, create(document{"a": text(1<<20 - 89)}), codes.OK, document{"a": text(1<<20 - 89)}},
			{"a longer value", nil, create(document{"a": text(1<<20 - 88)}), codes.InvalidArgument, nil},
			{"longer bytes", nil, create(document{"a": make([]byte, 1<<20-88)}), codes.InvalidArgument, nil},
			{"values that are too long together", set(document{"a": text(1 << 19)}), merge(document{"b": text(1 << 19)}), codes.InvalidArgument, document{"a": text(1 << 19)}},
			{"a reserved field", nil, create(document{"__a__": "1"}), codes.InvalidArgument, nil},
		} {
			t.Run(c.name, func(t *testing.T) {
				ctx, doc := t.Context(), collection.Doc(fmt.Sprint(i))
				known := time.Now().Add(-time.Hour).Truncate(time.Microsecond)
				if c.first != nil {
					result, err := c.first(ctx, doc)
					if err != nil {
						t.Fatal(err)
					}
					if !result.UpdateTime.IsZero() {
						known = result.UpdateTime
					}
				}
				result, err := c.then(ctx, doc, known)
				if status.Code(err) != c.want {
					t.Errorf("answers %v, want %v", err, c.want)
				}
				found := get(t, client, doc)
				if fmt.Sprint(found.Data()) != fmt.Sprint(map[string]any(c.left)) || found.Exists() != (c.left != nil) {
					t.Errorf("leaves %.100v, want %.100v", found.Data(), c.left)
				}
				if err == nil && found.Exists() && !result.UpdateTime.Equal(found.UpdateTime) {
					t.Errorf("answers the update time %v, and it is %v", result.UpdateTime, found.UpdateTime)
				}
			})
		}
	})
}

type op = func(ctx context.Context, doc *firestore.DocumentRef, known time.Time) (*firestore.WriteResult, error)

func set(fields map[string]any) func(context.Context, *firestore.DocumentRef) (*firestore.WriteResult, error) {
	return func(ctx context.Context, doc *firestore.DocumentRef) (*firestore.WriteResult, error) {
		return doc.Set(ctx, fields)
	}
}

func deleted(ctx context.Context, doc *firestore.DocumentRef) (*firestore.WriteResult, error) {
	result, err := doc.Set(ctx, map[string]any{"a": "1"})
	if err == nil {
		_, err = doc.Delete(ctx)
	}
	return result, err
}

func create(fields map[string]any) op {
	return func(ctx context.Context, doc *firestore.DocumentRef, _ time.Time) (*firestore.WriteResult, error) {
		return doc.Create(ctx, fields)
	}
}

func merge(fields map[string]any) op {
	return func(ctx context.Context, doc *firestore.DocumentRef, _ time.Time) (*firestore.WriteResult, error) {
		return doc.Set(ctx, fields, firestore.MergeAll)
	}
}

func update(field string, value any, conditions ...firestore.Precondition) op {
	return func(ctx context.Context, doc *firestore.DocumentRef, _ time.Time) (*firestore.WriteResult, error) {
		return doc.Update(ctx, []firestore.Update{{FieldPath: firestore.FieldPath{field}, Value: value}}, conditions...)
	}
}

func updateKnown(field string, value any) op {
	return func(ctx context.Context, doc *firestore.DocumentRef, known time.Time) (*firestore.WriteResult, error) {
		return update(field, value, firestore.LastUpdateTime(known))(ctx, doc, known)
	}
}

func updateStale(field string, value any) op {
	return func(ctx context.Context, doc *firestore.DocumentRef, known time.Time) (*firestore.WriteResult, error) {
		return update(field, value, firestore.LastUpdateTime(known.Add(-time.Microsecond)))(ctx, doc, known)
	}
}

func remove(conditions ...firestore.Precondition) op {
	return func(ctx context.Context, doc *firestore.DocumentRef, _ time.Time) (*firestore.WriteResult, error) {
		return doc.Delete(ctx, conditions...)
	}
}

func removeKnown(ctx context.Context, doc *firestore.DocumentRef, known time.Time) (*firestore.WriteResult, error) {
	return doc.Delete(ctx, firestore.LastUpdateTime(known))
}

func removeStale(ctx context.Context, doc *firestore.DocumentRef, known time.Time) (*firestore.WriteResult, error) {
	return doc.Delete(ctx, firestore.LastUpdateTime(known.Add(-time.Microsecond)))
}

func get(t *testing.T, client *firestore.Client, doc *firestore.DocumentRef) *firestore.DocumentSnapshot {
	t.Helper()
	found, err := client.GetAll(t.Context(), []*firestore.DocumentRef{doc})
	if err != nil {
		t.Fatal(err)
	}
	return found[0]
}

func TestBothRefuseTheSameDocumentIDs(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		client := s.Client(t, "")
		for id, want := range map[string]codes.Code{
			"a": codes.OK, "a.": codes.OK, "__": codes.OK, "____": codes.OK, "__a": codes.OK, "a__": codes.OK, "%": codes.OK,
			"é": codes.OK, strings.Repeat("x", 1500): codes.OK,
			".": codes.InvalidArgument, "..": codes.InvalidArgument, "__a__": codes.InvalidArgument, "_____": codes.InvalidArgument,
			strings.Repeat("x", 1501): codes.InvalidArgument,
		} {
			if _, err := client.Collection("ids").Doc(id).Create(t.Context(), map[string]any{"a": "1"}); status.Code(err) != want {
				t.Errorf("the id %.20q: %v, want %v", id, err, want)
			}
		}
		if _, err := client.Doc("__a__/b").Create(t.Context(), map[string]any{"a": "1"}); status.Code(err) != codes.InvalidArgument {
			t.Errorf("a reserved collection: %v", err)
		}
	})
}

func TestAnUpdateTimeChangesOnlyWithTheDocument(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		client := s.Client(t, "")
		doc := client.Collection("times").Doc("a")
		last := time.Time{}
		for i, fields := range []map[string]any{
			{"a": "1"}, {"a": "2"}, nil, {"a": "2"}, {"a": "2", "b": firestore.ServerTimestamp}, {"a": "2", "b": firestore.ServerTimestamp},
		} {
			var err error
			if fields == nil {
				_, err = doc.Delete(t.Context())
			} else {
				_, err = doc.Set(t.Context(), fields)
			}
			if err != nil {
				t.Fatal(err)
			}
			if found := get(t, client, doc); found.Exists() {
				if !found.UpdateTime.After(last) {
					t.Errorf("write %d is of %v, the one before of %v", i, found.UpdateTime, last)
				}
				if found.ReadTime.Before(found.UpdateTime) {
					t.Errorf("write %d is of %v, and read before, at %v", i, found.UpdateTime, found.ReadTime)
				}
				if found.UpdateTime.Nanosecond()%1000 != 0 {
					t.Errorf("write %d is of %v, which isn't whole microseconds", i, found.UpdateTime)
				}
				last = found.UpdateTime
			}
		}
		if _, err := doc.Set(t.Context(), map[string]any{"a": "2"}, firestore.MergeAll); err != nil {
			t.Fatal(err)
		}
		if found := get(t, client, doc); !found.UpdateTime.Equal(last) {
			t.Errorf("a write that changes nothing made the update time %v, it was %v", found.UpdateTime, last)
		}
		// The time of a read is the server's clock, not that of the last write.
		first := get(t, client, doc).ReadTime
		testkit.Until(t, "the time of a read goes on", func() bool { return get(t, client, doc).ReadTime.After(first) })
	})
}

func TestBothListTheSameDocuments(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		client := s.Client(t, "")
		collection := client.Collection("lists")
		for _, id := range []string{"a", "b", "B", "%", "ba", "é"} {
			if _, err := collection.Doc(id).Set(t.Context(), map[string]any{"a": id, "b": id}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := collection.Doc("below").Collection("lists").Doc("c").Set(t.Context(), map[string]any{"a": "c"}); err != nil {
			t.Fatal(err)
		}
		query := collection.SelectPaths(firestore.FieldPath{"a"}).OrderBy(firestore.DocumentID, firestore.Asc).Limit(2)
		for from, want := range map[string][]string{"": {"%", "B"}, "b": {"b", "ba"}, "bb": {"é"}} {
			q := query
			if from != "" {
				q = query.StartAt(from)
			}
			found, err := q.Documents(t.Context()).GetAll()
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, doc := range found {
				ids = append(ids, doc.Ref.ID)
				if fmt.Sprint(doc.Data()) != fmt.Sprint(map[string]any{"a": doc.Ref.ID}) {
					t.Errorf("%s comes with %v", doc.Ref.ID, doc.Data())
				}
			}
			if !slices.Equal(ids, want) {
				t.Errorf("from %q: %q, want %q", from, ids, want)
			}
		}
		found, err := query.StartAfter("b").Documents(t.Context()).GetAll()
		if err != nil || len(found) != 2 || found[0].Ref.ID != "ba" {
			t.Errorf("after b: %d documents, %v", len(found), err)
		}
	})
}

func TestAListenerHearsOfEachChange(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		client := s.Client(t, "")
		doc := client.Collection("listeners").Doc("a")
		snapshots := doc.Snapshots(t.Context())
		defer snapshots.Stop()
		next := func(want any) {
			t.Helper()
			found, err := snapshots.Next()
			if err != nil {
				t.Fatal(err)
			}
			if fmt.Sprint(found.Data()["a"]) != fmt.Sprint(want) {
				t.Errorf("is told %v, want %v", found.Data(), want)
			}
		}
		next(nil)
		for _, value := range []string{"1", "2"} {
			if _, err := doc.Set(t.Context(), map[string]any{"a": value}); err != nil {
				t.Fatal(err)
			}
			next(value)
		}
		if _, err := doc.Delete(t.Context()); err != nil {
			t.Fatal(err)
		}
		next(nil)
	})
}

func TestDatabasesAreApart(t *testing.T) {
	onBoth(t, func(t *testing.T, s *firestoretest.Server) {
		for i, database := range []string{"", "one", "two"} {
			if _, err := s.Client(t, database).Doc("a/b").Create(t.Context(), map[string]any{"a": i}); err != nil {
				t.Errorf("%q: %v", database, err)
			}
		}
	})
}

func TestADoubleGoesAndComesBackWithItsClock(t *testing.T) {
	s := firestoretest.Double(t)
	client := s.Client(t, "")
	doc := client.Doc("a/b")
	if _, err := doc.Create(t.Context(), map[string]any{"a": "1"}); err != nil {
		t.Fatal(err)
	}
	before := get(t, client, doc)
	s.Stop(t)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := doc.Get(ctx); err == nil {
		t.Error("it answers, and is stopped")
	}
	s.Advance(time.Hour)
	s.Start(t)
	after := get(t, client, doc)
	if !after.UpdateTime.Equal(before.UpdateTime) {
		t.Errorf("the document was of %v, and is of %v", before.UpdateTime, after.UpdateTime)
	}
	if went := after.ReadTime.Sub(before.ReadTime); went < time.Hour {
		t.Errorf("the server's clock went %v further, want an hour", went)
	}
}
