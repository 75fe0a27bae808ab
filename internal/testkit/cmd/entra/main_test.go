package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestThePrintedLinesAreEnoughToReachTheServer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"--ca", ca, "--strict", "--lifetime", "2s", "--users", "ana@contoso.com, bo@fabrikam.com"}, in, io.Discard)
		in.Close()
		ended <- err
	}()
	greeting := make([]byte, 4096) // one Write, so one Read
	n, err := out.Read(greeting)
	if err != nil {
		t.Fatalf("%v; run said %v", err, <-ended)
	}
	said := string(greeting[:n])
	authority := regexp.MustCompile(`(?m)^authority +(https://127\.0\.0\.1:\d+/common)$`).FindStringSubmatch(said)
	if authority == nil || !strings.Contains(said, "ana@contoso.com, bo@fabrikam.com") || !strings.Contains(said, ca) {
		t.Fatalf("printed:\n%s", said)
	}

	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	resp, err := client.Get(authority[1] + "/v2.0/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("discovery: %s", resp.Status)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestTheProxyLeadsEveryHttpsAddressToTheServer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, []string{"--ca", ca, "--proxy", "127.0.0.1:0"}, in, io.Discard)
		in.Close()
		ended <- err
	}()
	var proxy *url.URL
	for lines := bufio.NewScanner(out); proxy == nil && lines.Scan(); {
		if found := regexp.MustCompile(`HTTPS_PROXY=(\S+)`).FindStringSubmatch(lines.Text()); found != nil {
			var err error
			if proxy, err = url.Parse(found[1]); err != nil {
				t.Fatal(err)
			}
		}
	}
	if proxy == nil {
		t.Fatalf("no proxy was printed; run said %v", <-ended)
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(proxy), TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true}}
	resp, err := client.Get("https://login.microsoftonline.com/common/v2.0/.well-known/openid-configuration")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("discovery: %s", resp.Status)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := run(t.Context(), []string{"--ca", ca, "--proxy", "0.0.0.0:0"}, io.Discard, io.Discard); err == nil {
		t.Error("a proxy that a network sees is no error")
	}
}

func TestOnlyLoopbackIsServed(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", "192.0.2.1:443", ":0", "nonsense"} {
		var out bytes.Buffer
		if err := run(t.Context(), []string{"--listen", addr}, &out, io.Discard); err == nil {
			t.Errorf("%s was listened on:\n%s", addr, &out)
		}
	}
}
