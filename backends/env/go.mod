module github.com/graphtoken/graphtoken/backends/env

go 1.25.0

require (
	github.com/graphtoken/graphtoken/conformance v0.1.0
	github.com/graphtoken/graphtoken/core v0.1.0
	github.com/graphtoken/graphtoken/internal/testkit v0.1.0
	github.com/joho/godotenv v1.5.1
)

replace (
	github.com/graphtoken/graphtoken/conformance => ../../conformance
	github.com/graphtoken/graphtoken/core => ../../core
	github.com/graphtoken/graphtoken/internal/testkit => ../../internal/testkit
)
