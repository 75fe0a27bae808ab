module github.com/graphtoken/graphtoken/cmd/graphtoken

go 1.25.0

require (
	github.com/graphtoken/graphtoken/core v0.1.0
	github.com/graphtoken/graphtoken/crypto v0.1.0
	github.com/graphtoken/graphtoken/account v0.1.0
	github.com/graphtoken/graphtoken/adapters/msal v0.1.0
	github.com/graphtoken/graphtoken/backends/filesystem v0.1.0
	github.com/graphtoken/graphtoken/backends/env v0.1.0
	github.com/graphtoken/graphtoken/internal/testkit v0.1.0
)

replace (
	github.com/graphtoken/graphtoken/core => ../../core
	github.com/graphtoken/graphtoken/crypto => ../../crypto
	github.com/graphtoken/graphtoken/account => ../../account
	github.com/graphtoken/graphtoken/adapters/msal => ../../adapters/msal
	github.com/graphtoken/graphtoken/backends/filesystem => ../../backends/filesystem
	github.com/graphtoken/graphtoken/backends/env => ../../backends/env
	github.com/graphtoken/graphtoken/internal/testkit => ../../internal/testkit
)
