module github.com/graphtoken/graphtoken/examples/msgraphsdk

go 1.26.0

require (
	github.com/graphtoken/graphtoken/account v0.1.0
	github.com/graphtoken/graphtoken/adapters/azcore v0.1.0
	github.com/graphtoken/graphtoken/backends/filesystem v0.1.0
	github.com/graphtoken/graphtoken/core v0.1.0
	github.com/graphtoken/graphtoken/internal/testkit v0.1.0
	github.com/microsoft/kiota-abstractions-go v1.9.3
	github.com/microsoft/kiota-http-go v1.5.4
	github.com/microsoftgraph/msgraph-sdk-go v1.89.0
	github.com/microsoftgraph/msgraph-sdk-go-core v1.4.0
)

require (
	github.com/Azure/azure-sdk-for-go/sdk/azcore v1.24.0 // indirect
	github.com/Azure/azure-sdk-for-go/sdk/internal v1.13.0 // indirect
	github.com/AzureAD/microsoft-authentication-library-for-go v1.10.1 // indirect
	github.com/go-logr/logr v1.4.3 // indirect
	github.com/go-logr/stdr v1.2.2 // indirect
	github.com/golang-jwt/jwt/v5 v5.3.1 // indirect
	github.com/google/uuid v1.6.0 // indirect
	github.com/graphtoken/graphtoken/adapters/msal v0.1.0 // indirect
	github.com/kylelemons/godebug v1.1.0 // indirect
	github.com/microsoft/kiota-authentication-azure-go v1.3.1 // indirect
	github.com/microsoft/kiota-serialization-form-go v1.1.2 // indirect
	github.com/microsoft/kiota-serialization-json-go v1.1.2 // indirect
	github.com/microsoft/kiota-serialization-multipart-go v1.1.2 // indirect
	github.com/microsoft/kiota-serialization-text-go v1.1.3 // indirect
	github.com/pkg/browser v0.0.0-20240102092130-5ac0b6a4141c // indirect
	github.com/std-uritemplate/std-uritemplate/go/v2 v2.0.3 // indirect
	go.opentelemetry.io/auto/sdk v1.1.0 // indirect
	go.opentelemetry.io/otel v1.37.0 // indirect
	go.opentelemetry.io/otel/metric v1.37.0 // indirect
	go.opentelemetry.io/otel/trace v1.37.0 // indirect
	golang.org/x/crypto v0.58.0 // indirect
	golang.org/x/net v0.62.0 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
	software.sslmate.com/src/go-pkcs12 v0.7.4 // indirect
)

replace (
	github.com/graphtoken/graphtoken/account => ../../account
	github.com/graphtoken/graphtoken/adapters/azcore => ../../adapters/azcore
	github.com/graphtoken/graphtoken/adapters/msal => ../../adapters/msal
	github.com/graphtoken/graphtoken/backends/filesystem => ../../backends/filesystem
	github.com/graphtoken/graphtoken/backends/memory => ../../backends/memory
	github.com/graphtoken/graphtoken/conformance => ../../conformance
	github.com/graphtoken/graphtoken/core => ../../core
	github.com/graphtoken/graphtoken/internal/testkit => ../../internal/testkit
)
