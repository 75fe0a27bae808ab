// Package sdk logs in to Bitwarden Secrets Manager with its official SDK.
package sdk
