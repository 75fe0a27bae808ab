module github.com/graphtoken/graphtoken/agent/client

go 1.26.0
