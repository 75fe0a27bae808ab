package bitwardenclient

import (
	"net/http"
	"testing"
	"time"
)

func TestTheUsersHTTPClientIsUsedAndNotChanged(t *testing.T) {
	if got := newSender(nil).http.Timeout; got != 30*time.Second {
		t.Errorf("without a client of the user's a request has %v, want 30 seconds", got)
	}
	given := &http.Client{Timeout: time.Hour}
	if got := newSender(given).http; got == given || got.Timeout != given.Timeout || given.CheckRedirect != nil {
		t.Errorf("the user's client was changed, or not heeded: %+v", got)
	}
}
