// Package sdk logs in to Bitwarden Secrets Manager with Bitwarden's own Go SDK, and
// returns the client that package bitwarden needs for its backend:
//
//	client, err := sdk.Login(ctx, accessToken, sdk.LoginOptions{StateFile: "/var/lib/myapp/bitwarden"})
//	if err != nil {
//		return err
//	}
//	defer client.Close()
//	backend, err := bitwarden.New(client, bitwarden.Options{OrganizationID: organization, ProjectID: project})
//
// The SDK is a library in Rust, linked with cgo. Without cgo this package has no code,
// and so no [Login]. The SDK has a library for Linux and macOS on amd64
// and arm64, and for Windows on amd64. bitwarden.Login does the same in pure Go, on every
// platform.
//
// The SDK has a licence of its own, which restricts what you may do with programs
// that contain it: see the README.
package sdk
