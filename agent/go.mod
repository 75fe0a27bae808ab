module github.com/graphtoken/graphtoken/agent

go 1.26.0

require (
	github.com/graphtoken/graphtoken/agent/client v0.1.0
	github.com/graphtoken/graphtoken/backends/memory v0.1.0
	github.com/graphtoken/graphtoken/core v0.1.0
	golang.org/x/sys v0.48.0
)

replace (
	github.com/graphtoken/graphtoken/agent/client => ./client
	github.com/graphtoken/graphtoken/backends/memory => ../backends/memory
	github.com/graphtoken/graphtoken/conformance => ../conformance
	github.com/graphtoken/graphtoken/core => ../core
)
