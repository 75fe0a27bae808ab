module github.com/graphtoken/graphtoken/core

go 1.25.0
