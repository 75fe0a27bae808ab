package account

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
)

func TestOnePortOfEveryLoopbackAddressIsListenedOn(t *testing.T) {
	inUse, absent := errors.New("address in use"), errors.New("no such address family")
	for what, row := range map[string]struct {
		fault func(call int, address string) error // calls are counted from 1; the first two find out which addresses there are
		port  int
		want  int // listeners; 0 for an error
	}{
		"where both are there": {fault: func(int, string) error { return nil }, want: 2},
		"without IPv6, the other one alone": {fault: func(_ int, address string) error {
			if strings.HasPrefix(address, "[::1]") {
				return absent
			}
			return nil
		}, want: 1},
		"without IPv4, the other one alone": {fault: func(_ int, address string) error {
			if strings.HasPrefix(address, "127.0.0.1") {
				return absent
			}
			return nil
		}, want: 1},
		"without either, there is an error": {fault: func(int, string) error { return absent }},
		"another port, where the first is taken on one": {fault: func(call int, _ string) error {
			if call == 4 {
				return inUse
			}
			return nil
		}, want: 2},
		"a port that was named is the only one": {port: 4711, fault: func(call int, _ string) error {
			if call == 4 {
				return inUse
			}
			return nil
		}},
	} {
		t.Run(what, func(t *testing.T) {
			calls := 0
			l := listen(func(_ context.Context, _, address string) (net.Listener, error) {
				calls++
				if err := row.fault(calls, address); err != nil {
					return nil, err
				}
				return listenerAt(t, address, 40000+calls), nil
			})
			listeners, err := l.onLoopback(t.Context(), row.port)
			defer closeAll(listeners)
			if len(listeners) != row.want || (err == nil) != (row.want > 0) {
				t.Fatalf("%d listeners, want %d; the error is %v", len(listeners), row.want, err)
			}
			for _, l := range listeners {
				if portOf(l) != portOf(listeners[0]) {
					t.Errorf("it listens on %v and %v", l.Addr(), listeners[0].Addr())
				}
			}
		})
	}
}

// idle is a listener that nobody comes to.
type idle struct {
	net.Listener
	address *net.TCPAddr
}

func (i idle) Addr() net.Addr { return i.address }
func (idle) Close() error     { return nil }

func listenerAt(t *testing.T, address string, freePort int) net.Listener {
	t.Helper()
	at, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if at.Port == 0 {
		at.Port = freePort
	}
	return idle{address: at}
}

func TestAPortThatIsTakenOnOneAddressIsOpenOnNone(t *testing.T) {
	var lc net.ListenConfig
	theirs, err := lc.Listen(t.Context(), "tcp", "[::1]:0")
	if err != nil {
		t.Skipf("this machine has no IPv6: %v", err)
	}
	defer closeAll([]net.Listener{theirs})
	port := portOf(theirs)
	if _, err := listen(lc.Listen).onLoopback(t.Context(), port); err == nil || !strings.Contains(err.Error(), strconv.Itoa(port)) {
		t.Errorf("the error is %v, want one that names the port %d", err, port)
	}
	again, err := lc.Listen(t.Context(), "tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		t.Fatalf("the other address was left open: %v", err)
	}
	closeAll([]net.Listener{again})
}

func TestTheListenerAnswersItsOwnHostAlone(t *testing.T) {
	for _, row := range []struct {
		host  string
		port  int
		serve bool
	}{
		{"localhost:4711", 4711, true},
		{"LOCALHOST:4711", 4711, true},
		{"localhost", 80, true},
		{"localhost:80", 80, true},
		{"localhost", 4711, false},
		{"localhost:4712", 4711, false},
		{"127.0.0.1:4711", 4711, false},
		{"[::1]:4711", 4711, false},
		{"evil.example.com:4711", 4711, false},
		{"localhost.evil.example.com:4711", 4711, false},
		{"", 4711, false},
	} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = row.host
		served := false
		onlyHost(row.port, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served = true })).ServeHTTP(w, r)
		if served != row.serve || !served && w.Code != http.StatusMisdirectedRequest {
			t.Errorf("a request to %q at port %d is served: %v, and answered %d", row.host, row.port, served, w.Code)
		}
	}
}
