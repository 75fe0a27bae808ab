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

func TestTheListenerAnswersItsOwnAddressAlone(t *testing.T) {
	for _, row := range []struct {
		home   string
		host   string
		path   string
		status int
	}{
		{"http://localhost:4711", "localhost:4711", "/", http.StatusOK},
		{"http://localhost:4711", "LOCALHOST:4711", "/", http.StatusOK},
		{"http://localhost:4711/callback", "localhost:4711", "/callback", http.StatusOK},
		{"http://127.0.0.1:4711", "127.0.0.1:4711", "/", http.StatusOK},
		{"http://[::1]:4711", "[::1]:4711", "/", http.StatusOK},
		{"http://localhost:80", "localhost", "/", http.StatusOK},
		{"http://localhost:80", "localhost:80", "/", http.StatusOK},
		{"http://localhost:4711", "localhost:4711", "/favicon.ico", http.StatusNotFound},
		{"http://localhost:4711/callback", "localhost:4711", "/", http.StatusNotFound},
		{"http://localhost:4711", "localhost", "/", http.StatusMisdirectedRequest},
		{"http://localhost:4711", "localhost:4712", "/", http.StatusMisdirectedRequest},
		{"http://localhost:4711", "127.0.0.1:4711", "/", http.StatusMisdirectedRequest},
		{"http://127.0.0.1:4711", "localhost:4711", "/", http.StatusMisdirectedRequest},
		{"http://localhost:4711", "evil.example.com:4711", "/", http.StatusMisdirectedRequest},
		{"http://localhost:4711", "localhost.evil.example.com:4711", "/", http.StatusMisdirectedRequest},
		{"http://localhost:4711", "", "/", http.StatusMisdirectedRequest},
	} {
		h, err := parseLoopback(row.home)
		if err != nil {
			t.Fatal(err)
		}
		w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, row.path, nil)
		r.Host = row.host
		h.only(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
		if w.Code != row.status {
			t.Errorf("at %s, a request to %q for %s is answered %d, want %d", row.home, row.host, row.path, w.Code, row.status)
		}
	}
}

func TestARedirectURLSaysWhereToListen(t *testing.T) {
	for redirectURL, want := range map[string]home{
		"":                               {"localhost", 0, ""},
		"http://localhost":               {"localhost", 0, ""},
		"http://localhost/":              {"localhost", 0, "/"},
		"http://localhost:8400":          {"localhost", 8400, ""},
		"http://localhost:8400/callback": {"localhost", 8400, "/callback"},
		"http://127.0.0.1:8400":          {"127.0.0.1", 8400, ""},
		"http://[::1]":                   {"[::1]", 0, ""},
	} {
		if got, err := parseLoopback(redirectURL); got != want || err != nil {
			t.Errorf("%q is %+v, want %+v; the error is %v", redirectURL, got, want, err)
		}
	}
	for what, redirectURL := range map[string]string{
		"another host":           "http://app.example.com:8400",
		"a name that begins so":  "http://localhost.example.com",
		"https":                  "https://localhost:8400",
		"no scheme":              "localhost:8400",
		"a user":                 "http://ana@localhost:8400",
		"a query":                "http://localhost:8400/?next=1",
		"a fragment":             "http://localhost:8400/#next",
		"port 0":                 "http://localhost:0",
		"a port beyond the last": "http://localhost:65536",
		"no URL":                 "http://[::1",
	} {
		if got, err := parseLoopback(redirectURL); err == nil {
			t.Errorf("%s: %q is %+v", what, redirectURL, got)
		}
	}
}
