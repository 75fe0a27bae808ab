module github.com/graphtoken/graphtoken/crypto/keychain

go 1.26.0

require (
	github.com/godbus/dbus/v5 v5.2.2
	github.com/graphtoken/graphtoken/core v0.1.0
	github.com/graphtoken/graphtoken/crypto v0.1.0
	github.com/graphtoken/graphtoken/internal/testkit v0.1.0
	github.com/zalando/go-keyring v0.2.8
)

require (
	github.com/danieljoos/wincred v1.2.3 // indirect
	golang.org/x/sys v0.29.0 // indirect
)

replace (
	github.com/graphtoken/graphtoken/conformance => ../../conformance
	github.com/graphtoken/graphtoken/core => ../../core
	github.com/graphtoken/graphtoken/crypto => ..
	github.com/graphtoken/graphtoken/internal/testkit => ../../internal/testkit
)
