module github.com/graphtoken/graphtoken/conformance/linearizability

go 1.25.0

require (
	github.com/graphtoken/graphtoken/conformance v0.1.0
	github.com/graphtoken/graphtoken/core v0.1.0
)

require github.com/anishathalye/porcupine v1.3.1

replace (
	github.com/graphtoken/graphtoken/conformance => ../
	github.com/graphtoken/graphtoken/core => ../../core
)
