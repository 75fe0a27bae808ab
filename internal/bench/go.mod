module github.com/graphtoken/graphtoken/internal/bench

go 1.25.0

require (
	github.com/graphtoken/graphtoken/core v0.1.0
	github.com/graphtoken/graphtoken/backends/filesystem v0.1.0
	github.com/graphtoken/graphtoken/adapters/msal v0.1.0
)

replace (
	github.com/graphtoken/graphtoken/core => ../../core
	github.com/graphtoken/graphtoken/backends/filesystem => ../../backends/filesystem
	github.com/graphtoken/graphtoken/adapters/msal => ../../adapters/msal
)
