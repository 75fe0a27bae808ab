module github.com/graphtoken/graphtoken/backends/awssecrets

go 1.26.0

require (
	github.com/aws/aws-sdk-go-v2 v1.48.0
	github.com/aws/aws-sdk-go-v2/service/secretsmanager v1.50.10
	github.com/aws/smithy-go v1.28.9
	github.com/graphtoken/graphtoken/core v0.1.0
)

require (
	github.com/aws/aws-sdk-go-v2/credentials v1.20.15
	github.com/graphtoken/graphtoken/conformance v0.1.0
	github.com/graphtoken/graphtoken/internal/testkit v0.1.0
)

require (
	github.com/aws/aws-sdk-go-v2/internal/configsources v1.5.10 // indirect
	github.com/aws/aws-sdk-go-v2/internal/endpoints/v2 v2.8.10 // indirect
)

replace (
	github.com/graphtoken/graphtoken/conformance => ../../conformance
	github.com/graphtoken/graphtoken/core => ../../core
	github.com/graphtoken/graphtoken/internal/testkit => ../../internal/testkit
)
