module github.com/graphtoken/graphtoken/crypto/vaulttransit

go 1.26.0

require (
	github.com/graphtoken/graphtoken/core v0.1.0
	github.com/graphtoken/graphtoken/crypto v0.1.0
	github.com/graphtoken/graphtoken/internal/testkit/keyservicetest v0.1.0
)

require github.com/graphtoken/graphtoken/conformance v0.1.0 // indirect

replace (
	github.com/graphtoken/graphtoken/conformance => ../../conformance
	github.com/graphtoken/graphtoken/core => ../../core
	github.com/graphtoken/graphtoken/crypto => ..
	github.com/graphtoken/graphtoken/internal/testkit/keyservicetest => ../../internal/testkit/keyservicetest
)
