module github.com/graphtoken/graphtoken/internal/testkit/s3test

go 1.26.0
