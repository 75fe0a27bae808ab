module github.com/graphtoken/graphtoken/backends/bitwarden

go 1.26.0

require (
	github.com/graphtoken/graphtoken/core v0.1.0
	github.com/graphtoken/graphtoken/internal/bitwardenclient v0.1.0
)

require (
	github.com/graphtoken/graphtoken/backends/memory v0.1.0
	github.com/graphtoken/graphtoken/conformance v0.1.0
	github.com/graphtoken/graphtoken/internal/testkit v0.1.0
)

replace (
	github.com/graphtoken/graphtoken/backends/memory => ../memory
	github.com/graphtoken/graphtoken/conformance => ../../conformance
	github.com/graphtoken/graphtoken/core => ../../core
	github.com/graphtoken/graphtoken/internal/bitwardenclient => ../../internal/bitwardenclient
	github.com/graphtoken/graphtoken/internal/testkit => ../../internal/testkit
)
