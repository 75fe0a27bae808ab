module github.com/graphtoken/graphtoken/adapters/msal

go 1.25.0

require (
	github.com/graphtoken/graphtoken/core v0.1.0
	github.com/graphtoken/graphtoken/internal/testkit v0.1.0
	github.com/graphtoken/graphtoken/backends/memory v0.1.0
)

replace (
	github.com/graphtoken/graphtoken/core => ../../core
	github.com/graphtoken/graphtoken/internal/testkit => ../../internal/testkit
	github.com/graphtoken/graphtoken/backends/memory => ../../backends/memory
)
