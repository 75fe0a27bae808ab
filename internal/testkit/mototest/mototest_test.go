package mototest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit/mototest"
)

func TestMotoKeepsItsSecretsUntilItIsReset(t *testing.T) {
	server := mototest.Start(t)
	buckets := func() string {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		// Unsigned, so it must be told which service is meant.
		req.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0")
		return answer(t, req)
	}
	create, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL+"/tokens", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer(t, create)
	if list := buckets(); !strings.Contains(list, "<Name>tokens</Name>") {
		t.Errorf("it doesn't know the bucket: %s", list)
	}
	server.Reset(t)
	if list := buckets(); strings.Contains(list, "<Name>tokens</Name>") {
		t.Errorf("it still knows the bucket: %s", list)
	}
}

func TestServersShareNothing(t *testing.T) {
	if a, b := mototest.Start(t), mototest.Start(t); a.URL == b.URL {
		t.Errorf("both are at %s", a.URL)
	}
}

func answer(t *testing.T, req *http.Request) string {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %s, %v: %s", req.Method, req.URL, resp.Status, err, body)
	}
	return string(body)
}
