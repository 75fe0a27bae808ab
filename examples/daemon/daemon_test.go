package main

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/graphtoken/graphtoken/internal/testkit/entra"
	"github.com/graphtoken/graphtoken/internal/testkit/machine"
)

func TestMain(m *testing.M) {
	machine.Become(main)
	os.Exit(m.Run())
}

func TestOneTokenServesEveryRun(t *testing.T) {
	pemFile, certificate := newCertificate(t)
	for what, row := range map[string]struct {
		client entra.Client
		flags  []string
	}{
		"with a secret":      {entra.Client{ID: "daemon", Secret: "a secret"}, nil},
		"with a certificate": {entra.Client{ID: "daemon", Certificates: []*x509.Certificate{certificate}}, []string{"-certificate", pemFile}},
	} {
		t.Run(what, func(t *testing.T) {
			idp := entra.Start(t, entra.Options{Clients: []entra.Client{row.client}})
			t.Setenv("CLIENT_SECRET", row.client.Secret)
			args := append([]string{"-client-id", row.client.ID, "-tenant", "contoso.com", "-database", filepath.Join(t.TempDir(), "daemon.db")}, row.flags...)
			for range 2 {
				p := machine.Start(t, idp, append(args, entra.Ana)...)
				p.Await(entra.Ana + " is")
				p.Finish()
			}
			if n := idp.Grants().ByType[entra.ClientCredentials].Succeeded; n != 1 {
				t.Errorf("two runs obtained %d tokens, want 1", n)
			}
		})
	}
}

func TestItGoesOnUntilItIsTerminated(t *testing.T) {
	idp := entra.Start(t, entra.Options{})
	t.Setenv("CLIENT_SECRET", entra.ConfidentialSecret)
	p := machine.Start(t, idp, "-client-id", entra.ConfidentialClient, "-tenant", "contoso.com",
		"-database", filepath.Join(t.TempDir(), "daemon.db"), "-every", "10ms", entra.Ana)
	for range 3 {
		p.Await(entra.Ana + " is")
	}
	p.Signal(syscall.SIGTERM)
	p.Finish()
}

// newCertificate makes a certificate for a client, and a file with it and its key.
func newCertificate(t *testing.T) (file string, certificate *x509.Certificate) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "daemon"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	if certificate, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "daemon.pem")
	content := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})...)
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return file, certificate
}
