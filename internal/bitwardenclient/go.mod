module github.com/graphtoken/graphtoken/internal/bitwardenclient

go 1.26.0

require github.com/graphtoken/graphtoken/core v0.1.0

require github.com/graphtoken/graphtoken/internal/testkit v0.1.0

replace (
	github.com/graphtoken/graphtoken/core => ../../core
	github.com/graphtoken/graphtoken/internal/testkit => ../testkit
)
