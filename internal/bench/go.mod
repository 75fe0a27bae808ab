module github.com/graphtoken/graphtoken/internal/bench

go 1.26.0

require (
	github.com/AzureAD/microsoft-authentication-library-for-go v1.10.1
	github.com/graphtoken/graphtoken/backends/filesystem v0.1.0
	github.com/graphtoken/graphtoken/backends/memory v0.1.0
	github.com/graphtoken/graphtoken/core v0.1.0
	github.com/graphtoken/graphtoken/crypto v0.1.0
	github.com/graphtoken/graphtoken/internal/testkit v0.1.0
	golang.org/x/oauth2 v0.37.0
)

require (
	github.com/golang-jwt/jwt/v5 v5.2.2 // indirect
	github.com/google/uuid v1.3.0 // indirect
	github.com/kylelemons/godebug v1.1.0 // indirect
	github.com/pkg/browser v0.0.0-20210911075715-681adbf594b8 // indirect
	golang.org/x/sync v0.10.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
)

replace (
	github.com/graphtoken/graphtoken/backends/filesystem => ../../backends/filesystem
	github.com/graphtoken/graphtoken/backends/memory => ../../backends/memory
	github.com/graphtoken/graphtoken/conformance => ../../conformance
	github.com/graphtoken/graphtoken/core => ../../core
	github.com/graphtoken/graphtoken/crypto => ../../crypto
	github.com/graphtoken/graphtoken/internal/testkit => ../testkit
)
