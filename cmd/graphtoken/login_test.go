package main_test

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit/entra"
)

func TestLoginByDeviceCode(t *testing.T) {
	w := newWorld(t)
	p := w.start("login", "--device-code", "--client-id", entra.PublicClient, "--scope", "User.Read")
	p.line(t, "Enter this code")
	p.line(t, "\n") // an empty one
	if err := w.idp.ApproveDevice(strings.TrimSpace(p.line(t, "    ")), ana); err != nil {
		t.Fatal(err)
	}
	if r := p.end(w); r.code != 0 || !strings.Contains(r.err, "Signed in as "+ana) {
		t.Fatalf("exit code %d\n%s", r.code, r.err)
	}
	w.ok("token")
}

func TestLoginEndsWhenNobodySignsInInTime(t *testing.T) {
	w := newWorld(t)
	if r := w.fails(4, "login", "--no-browser", "--timeout", "50ms", "--client-id", entra.PublicClient); !strings.Contains(r.err, "within 50ms") || !strings.Contains(r.err, "Waiting for the browser at http://localhost:") {
		t.Errorf("the login says %s", r.err)
	}
	w.fails(3, "status")
}

// A process without a standard input has the null device.
func TestALoginWhoseInputIsAtItsEndEndsAtOnce(t *testing.T) {
	for _, way := range [][]string{{"login", "--console"}, {"login"}} {
		w := newWorld(t)
		r := w.fails(4, append(way, "--client-id", entra.PublicClient)...)
		shows(t, fmt.Sprint(way), r.err, "no address was pasted", "the input ended", "standard input", "--device-code")
		if strings.Contains(r.err, "closed") || strings.Contains(r.err, "Waiting for the browser") {
			t.Errorf("%v says\n%s", way, r.err)
		}
	}
}

func TestALoginOfAnotherUserThanNamedSavesNothing(t *testing.T) {
	named := []string{"--user", ana, "--client-id", entra.PublicClient, "--scope", "User.Read"}
	for way, signIn := range map[string]func(w *world) result{
		"at a console": func(w *world) result { return w.login(bo, "--user", ana) },
		"with a browser on this machine": func(w *world) result {
			p := w.start(append([]string{"login", "--no-browser"}, named...)...)
			_ = w.idp.BrowseAs(bo)(p.line(t, "https://")) // the page says that it failed
			return p.end(w)
		},
		"by a device code": func(w *world) result {
			p := w.start(append([]string{"login", "--device-code"}, named...)...)
			p.line(t, "Enter this code")
			p.line(t, "\n") // an empty one
			if err := w.idp.ApproveDevice(strings.TrimSpace(p.line(t, "    ")), bo); err != nil {
				t.Error(err)
			}
			return p.end(w)
		},
		"in two processes": func(w *world) result { return w.finish(w.visit(bo, w.begin("--user", ana))) },
	} {
		t.Run(way, func(t *testing.T) {
			w := newWorld(t)
			if r := signIn(w); r.code != 4 || !strings.Contains(r.err, "Nothing was saved") {
				t.Errorf("exit code %d\n%s", r.code, r.err)
			}
			w.fails(3, "status")
		})
	}
}

func TestFlagsOfTwoWaysToSignInAreRefused(t *testing.T) {
	w := newWorld(t)
	w.set("GRAPHTOKEN_CLIENT_ID=" + entra.PublicClient)
	for _, args := range [][]string{
		{"--console", "--device-code"},
		{"--no-browser", "--console"},
		{"--device-code", "--port", "8400"},
		{"--device-code", "--redirect-url", "https://localhost"},
		{"--console", "--client-credentials"},
		{"--timeout", "0s"},
		{"--certificate", "x.pem", "--federated-token-file", "y"},
	} {
		w.fails(2, append([]string{"login"}, args...)...)
	}
}

// certificate writes a certificate with its key, and returns the file and the ID of an
// application that has it.
func (w *world) certificate() (file, clientID string) {
	w.t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		w.t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "app"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		w.t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		w.t.Fatal(err)
	}
	const id = "0b1c2d3e-0000-4000-8000-0000000000ce"
	if err := w.idp.AddClient(entra.Client{ID: id, Certificates: []*x509.Certificate{certificate}}); err != nil {
		w.t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		w.t.Fatal(err)
	}
	file = filepath.Join(w.dir, "app.pem")
	text := append(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private}), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return file, id
}

func TestAnApplicationSignsInByCertificate(t *testing.T) {
	w := newWorld(t)
	file, id := w.certificate()
	w.set("GRAPHTOKEN_AUTHORITY="+w.idp.Authority(entra.Tenant), "GRAPHTOKEN_CLIENT_ID="+id)
	w.ok("login", "--client-credentials", "--certificate", file)
	w.ok("token", "--certificate", file)
	if r := w.fails(2, "login", "--client-credentials", "--certificate", w.file()+"x"); strings.Contains(r.err, "tokens.jsonx") {
		t.Errorf("what may be a secret is shown: %s", r.err)
	}
}

func TestAnApplicationSignsInByTheTokenOfAnotherProvider(t *testing.T) {
	w := newWorld(t)
	w.set("GRAPHTOKEN_AUTHORITY="+w.idp.Authority(entra.Tenant), "GRAPHTOKEN_CLIENT_ID="+entra.ConfidentialClient)
	file := filepath.Join(w.dir, "federated")
	if err := os.WriteFile(file, []byte("eyJhbGciOiJub25lIn0.eyJzdWIiOiJ4In0.c2ln\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	// The provider gets the assertion, and doesn't trust it.
	w.fails(6, "login", "--client-credentials", "--federated-token-file", file)
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if r := w.fails(2, "login", "--client-credentials", "--federated-token-file", file); !strings.Contains(r.err, "is empty") {
		t.Errorf("the error is %s", r.err)
	}
}
