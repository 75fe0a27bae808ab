module github.com/graphtoken/graphtoken/backends/awss3

go 1.26.0
