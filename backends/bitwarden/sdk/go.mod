module github.com/graphtoken/graphtoken/backends/bitwarden/sdk

go 1.26.0

require (
	github.com/bitwarden/sdk-go v1.0.2
	github.com/graphtoken/graphtoken/backends/bitwarden v0.1.0
	github.com/graphtoken/graphtoken/core v0.1.0
	github.com/graphtoken/graphtoken/internal/bitwardenclient v0.1.0
)

require (
	github.com/graphtoken/graphtoken/backends/redis v0.1.0
	github.com/graphtoken/graphtoken/conformance v0.1.0
	github.com/graphtoken/graphtoken/internal/testkit v0.1.0
	github.com/redis/go-redis/v9 v9.23.0
)

require (
	github.com/cespare/xxhash/v2 v2.3.0 // indirect
	go.uber.org/atomic v1.12.0 // indirect
	golang.org/x/sys v0.48.0 // indirect
)

replace (
	github.com/graphtoken/graphtoken/backends/bitwarden => ..
	github.com/graphtoken/graphtoken/backends/memory => ../../memory
	github.com/graphtoken/graphtoken/backends/redis => ../../redis
	github.com/graphtoken/graphtoken/conformance => ../../../conformance
	github.com/graphtoken/graphtoken/core => ../../../core
	github.com/graphtoken/graphtoken/internal/bitwardenclient => ../../../internal/bitwardenclient
	github.com/graphtoken/graphtoken/internal/testkit => ../../../internal/testkit
)
