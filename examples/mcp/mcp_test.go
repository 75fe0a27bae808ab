package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/internal/testkit"
	"github.com/graphtoken/graphtoken/internal/testkit/entra"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// The test's own binary is the program where these variables are set: the directory of the
// tokens, and the address and certificate of the imitation of Entra and Graph.
const directory, address, certificate = "MCP_DIRECTORY", "MCP_ADDRESS", "MCP_CERTIFICATE"

func TestMain(m *testing.M) {
	if os.Getenv(directory) == "" {
		os.Exit(m.Run())
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(os.Getenv(certificate)))
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, os.Getenv(address))
		},
	}
	if err := run(context.Background(), os.Args[1:], os.Getenv(directory), &http.Client{Transport: transport}); err != nil {
		log.Fatal(err)
	}
}

func program(idp *entra.Server, tokens string, args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), directory+"="+tokens, address+"="+idp.Addr(), certificate+"="+string(idp.CertPEM()))
	cmd.Stderr = os.Stderr
	return cmd
}

// login signs in by the program, with a device code that the user enters.
func login(t *testing.T, idp *entra.Server, tokens string) {
	t.Helper()
	cmd := program(idp, tokens, "login", entra.PublicClient)
	var shown lines
	cmd.Stderr = &shown
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	code := shown.codeToEnter(t)
	if err := idp.ApproveDevice(code, entra.Ana); err != nil {
		t.Error(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatalf("%v: %s", err, &shown)
	}
}

// lines is what a program prints.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// codeToEnter waits until the program shows a code, in a line of its own.
func (l *lines) codeToEnter(t *testing.T) (code string) {
	t.Helper()
	testkit.Retry(t, "the program shows a code", func() error {
		_, after, shown := strings.Cut(l.String(), "Enter this code")
		if !shown || !strings.HasSuffix(after, "\n\n") {
			return fmt.Errorf("it says %q", l)
		}
		words := strings.Fields(after)
		code = words[len(words)-1]
		return nil
	})
	return code
}

// expire makes the stored access token one that has expired.
func expire(t *testing.T, tokens string) {
	t.Helper()
	backend, err := filesystem.New(tokens, filesystem.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = core.NewStore(backend).Update(t.Context(), "me", func(c *tokencache.Cache) error {
		token, ok := c.AccessToken(tokencache.Query{Username: entra.Ana})
		if !ok {
			return fmt.Errorf("there is no token in %v", c)
		}
		return c.Put(tokencache.TokenResponse{
			AccessToken: "expired", ExpiresIn: -1, Scope: strings.Join(token.Scopes, " "), GrantType: "refresh_token",
			ClientID: token.ClientID, Environment: token.Environment, Tenant: token.Realm, HomeAccountID: token.HomeAccountID,
		})
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestTwelveServersThatStartWithAnExpiredTokenRefreshOnce(t *testing.T) {
	idp, tokens := entra.Start(t, entra.Options{Strict: true}), t.TempDir()
	login(t, idp, tokens)
	expire(t, tokens)
	var windows sync.WaitGroup
	for range 12 {
		windows.Go(func() {
			editor := mcp.NewClient(&mcp.Implementation{Name: "editor", Version: "v1"}, nil)
			session, err := editor.Connect(t.Context(), &mcp.CommandTransport{Command: program(idp, tokens, entra.PublicClient)}, nil)
			if err != nil {
				t.Error(err)
				return
			}
			defer session.Close()
			for tool, want := range map[string]string{"me": entra.Ana, "messages": `"value":[]`} {
				result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: map[string]any{}})
				if err != nil {
					t.Error(err)
					return
				}
				text := result.Content[0].(*mcp.TextContent).Text
				if result.IsError || !strings.Contains(text, want) {
					t.Errorf("%s: %s", tool, text)
				}
			}
		})
	}
	windows.Wait()
	if g := idp.Grants(); g.ByType[entra.Refresh].Received != 1 || idp.Graph().Calls().Unauthorized != 0 {
		t.Errorf("the provider was asked %d times, and Graph refused %d tokens", g.ByType[entra.Refresh].Received, idp.Graph().Calls().Unauthorized)
	}
}

func TestTheModelIsToldThatNobodyIsSignedIn(t *testing.T) {
	idp := entra.Start(t, entra.Options{})
	editor := mcp.NewClient(&mcp.Implementation{Name: "editor", Version: "v1"}, nil)
	session, err := editor.Connect(t.Context(), &mcp.CommandTransport{Command: program(idp, t.TempDir(), entra.PublicClient)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	result, err := session.CallTool(t.Context(), &mcp.CallToolParams{Name: "me", Arguments: map[string]any{}})
	if err != nil {
		t.Fatal(err)
	}
	if text := result.Content[0].(*mcp.TextContent).Text; !result.IsError || !strings.Contains(text, "mcp login") {
		t.Errorf("the model is told %q", text)
	}
}
