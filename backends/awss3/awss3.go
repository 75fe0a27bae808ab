// Package awss3 keeps token records in S3 or a store that speaks its protocol.
package awss3
