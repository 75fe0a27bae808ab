module github.com/graphtoken/graphtoken/internal/testkit/keyservicetest

go 1.26.0

require (
	github.com/graphtoken/graphtoken/conformance v0.1.0
	github.com/graphtoken/graphtoken/core v0.1.0
	github.com/graphtoken/graphtoken/crypto v0.1.0
)

replace (
	github.com/graphtoken/graphtoken/conformance => ../../../conformance
	github.com/graphtoken/graphtoken/core => ../../../core
	github.com/graphtoken/graphtoken/crypto => ../../../crypto
)
