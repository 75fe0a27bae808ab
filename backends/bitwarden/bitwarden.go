// Package bitwarden keeps token records in Bitwarden Secrets Manager.
package bitwarden
