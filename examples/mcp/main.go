// Command mcp is an MCP server: it lets a language model read the user's mail in Microsoft
// Graph. An editor starts one for each of its windows, so that many run at the same time with
// one file of tokens. When the token expires, one of them refreshes it for all.
//
//	mcp login CLIENT_ID   # once, in a terminal
//	mcp CLIENT_ID         # what the editor starts; it speaks on its standard input and output
//
// CLIENT_ID is the ID of an application that is registered at Microsoft Entra and allows
// public client flows. An editor's configuration has the program by its name:
//
//	{"mcpServers": {"mail": {"command": "mcp", "args": ["CLIENT_ID"]}}}
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/backends/filesystem"
	"github.com/graphtoken/graphtoken/core"
	"github.com/modelcontextprotocol/go-sdk/mcp"
)

func main() {
	config, err := os.UserConfigDir()
	if err != nil {
		log.Fatal(err)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:], filepath.Join(config, "graphtoken-mcp"), http.DefaultClient); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, args []string, directory string, client *http.Client) error {
	login := len(args) == 2 && args[0] == "login"
	if !login && len(args) != 1 {
		return errors.New("usage: mcp [login] CLIENT_ID")
	}
	backend, err := filesystem.New(directory, filesystem.Options{})
	if err != nil {
		return err
	}
	store := core.NewStore(backend)
	defer store.Flush(context.WithoutCancel(ctx)) // waits for refreshes in the background
	user, err := account.New(store, "me", account.Config{
		ClientID: args[len(args)-1], Scopes: []string{"User.Read", "Mail.Read"}, HTTPClient: client,
	})
	if err != nil {
		return err
	}
	if login {
		return user.Authenticate(ctx, account.DeviceCodePrompt(os.Stderr), account.AuthOptions{})
	}
	return newServer(user.HTTPClient()).Run(ctx, &mcp.StdioTransport{})
}

// newServer has the tools. An error of theirs goes to the model, which can tell the user to sign in.
func newServer(graph *http.Client) *mcp.Server {
	server := mcp.NewServer(&mcp.Implementation{Name: "graphtoken-example", Version: "v0.1.0"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "me", Description: "The signed-in user's name and address"},
		func(ctx context.Context, _ *mcp.CallToolRequest, _ struct{}) (*mcp.CallToolResult, any, error) {
			return get(ctx, graph, "/me")
		})
	type list struct {
		Top int `json:"top,omitempty" jsonschema:"how many messages, 10 if not given"`
	}
	mcp.AddTool(server, &mcp.Tool{Name: "messages", Description: "The latest messages of the signed-in user"},
		func(ctx context.Context, _ *mcp.CallToolRequest, in list) (*mcp.CallToolResult, any, error) {
			query := url.Values{"$select": {"subject,from,receivedDateTime"}}
			if in.Top > 0 {
				query.Set("$top", strconv.Itoa(in.Top))
			}
			return get(ctx, graph, "/me/messages?"+query.Encode())
		})
	return server
}

// get asks Microsoft Graph.
func get(ctx context.Context, graph *http.Client, path string) (*mcp.CallToolResult, any, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://graph.microsoft.com/v1.0"+path, nil)
	if err != nil {
		return nil, nil, err
	}
	resp, err := graph.Do(req)
	if errors.Is(err, core.ErrReauthRequired) {
		return nil, nil, errors.New("nobody is signed in; the user must run \"mcp login CLIENT_ID\" in a terminal")
	}
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("the answer of Microsoft Graph is %s: %s", resp.Status, core.Printable(string(answer)))
	}
	return nil, json.RawMessage(answer), nil
}
