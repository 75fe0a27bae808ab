module github.com/graphtoken/graphtoken/adapters/azcore

go 1.26.0

require (
	github.com/Azure/azure-sdk-for-go/sdk/azcore v1.24.0
	github.com/graphtoken/graphtoken/backends/memory v0.1.0
	github.com/graphtoken/graphtoken/core v0.1.0
)

require (
	github.com/Azure/azure-sdk-for-go/sdk/internal v1.13.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace (
	github.com/graphtoken/graphtoken/backends/memory => ../../backends/memory
	github.com/graphtoken/graphtoken/conformance => ../../conformance
	github.com/graphtoken/graphtoken/core => ../../core
)
