module github.com/graphtoken/graphtoken/backends/awssecrets

go 1.26.0
