module github.com/graphtoken/graphtoken/crypto/age

go 1.25.0

require (
	filippo.io/age v1.3.2
	github.com/graphtoken/graphtoken/conformance v0.1.0
	github.com/graphtoken/graphtoken/core v0.1.0
	github.com/graphtoken/graphtoken/crypto v0.1.0
)

require (
	filippo.io/hpke v0.4.0 // indirect
	golang.org/x/crypto v0.55.0 // indirect
	golang.org/x/sys v0.47.0 // indirect
)

replace (
	github.com/graphtoken/graphtoken/conformance => ../../conformance
	github.com/graphtoken/graphtoken/core => ../../core
	github.com/graphtoken/graphtoken/crypto => ..
)
