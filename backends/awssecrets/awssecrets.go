// Package awssecrets keeps token records in AWS Secrets Manager.
package awssecrets
