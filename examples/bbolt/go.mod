module github.com/graphtoken/graphtoken/examples/bbolt

go 1.25.0

require (
	github.com/graphtoken/graphtoken/conformance v0.1.0
	github.com/graphtoken/graphtoken/core v0.1.0
	go.etcd.io/bbolt v1.5.0
)

require golang.org/x/sys v0.45.0 // indirect

replace (
	github.com/graphtoken/graphtoken/conformance => ../../conformance
	github.com/graphtoken/graphtoken/core => ../../core
)
