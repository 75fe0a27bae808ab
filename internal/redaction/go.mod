module github.com/graphtoken/graphtoken/internal/redaction

go 1.26.0

require (
	github.com/davecgh/go-spew v1.1.1
	github.com/google/go-cmp v0.6.0
	github.com/graphtoken/graphtoken/backends/env v0.1.0
	github.com/graphtoken/graphtoken/backends/filesystem v0.1.0
	github.com/graphtoken/graphtoken/backends/memory v0.1.0
	github.com/graphtoken/graphtoken/core v0.1.0
	github.com/graphtoken/graphtoken/crypto v0.1.0
	github.com/stretchr/testify v1.12.1
)

require (
	github.com/joho/godotenv v1.5.1 // indirect
	go.yaml.in/yaml/v3 v3.0.5 // indirect
	golang.org/x/sys v0.47.0 // indirect
)

replace (
	github.com/graphtoken/graphtoken/backends/env => ../../backends/env
	github.com/graphtoken/graphtoken/backends/filesystem => ../../backends/filesystem
	github.com/graphtoken/graphtoken/backends/memory => ../../backends/memory
	github.com/graphtoken/graphtoken/conformance => ../../conformance
	github.com/graphtoken/graphtoken/core => ../../core
	github.com/graphtoken/graphtoken/crypto => ../../crypto
	github.com/graphtoken/graphtoken/internal/testkit => ../testkit
)
