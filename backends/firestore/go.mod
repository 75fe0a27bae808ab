module github.com/graphtoken/graphtoken/backends/firestore

go 1.26.0
