// Package s3test starts S3 stores for tests.
package s3test
