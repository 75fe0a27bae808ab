module github.com/graphtoken/graphtoken/internal/testkit/firestoretest

go 1.26.0
