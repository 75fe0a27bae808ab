module github.com/graphtoken/graphtoken/backends/bitwarden/sdk

go 1.26.0
