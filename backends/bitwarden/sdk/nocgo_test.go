//go:build !cgo

package sdk

import (
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit/peer"
)

func TestTheOfficialSDKNeedsCgo(t *testing.T) {
	peer.Missing(t, "cgo", "Bitwarden's SDK is linked by cgo: set CGO_ENABLED=1 and have a C compiler")
}
