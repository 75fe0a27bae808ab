module github.com/graphtoken/graphtoken/backends/bitwarden

go 1.26.0
