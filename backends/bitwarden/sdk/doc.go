// Package sdk logs in to Bitwarden Secrets Manager with Bitwarden's own Go SDK, and
// returns what package bitwarden builds its backend on:
//
//	client, err := sdk.Login(ctx, accessToken, sdk.LoginOptions{StateFile: "/var/lib/myapp/bitwarden"})
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//	backend, err := bitwarden.New(client, bitwarden.Options{OrganizationID: organization, ProjectID: project})
//
// The SDK is a library in Rust, linked in by cgo. Where cgo is off this package has no code,
// and so no [Login]; and it links where the SDK has a library: on Linux and macOS for amd64
// and arm64, and on Windows for amd64. bitwarden.Login does the same in pure Go, everywhere.
//
// The SDK's licence is not this project's, and restricts what may be done with programs
// that contain it: see the README.
package sdk
