package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/graphtoken/graphtoken/account"
	"github.com/graphtoken/graphtoken/core"
)

type whoamiCommand struct {
	JSON  bool   `name:"json" env:"-" help:"As JSON: Graph's answer."`
	Graph string `placeholder:"URL" help:"Microsoft Graph's address, for an --authority that isn't Microsoft's; it gets the token. By default that of the authority's cloud."`
}

// graphError is an answer of Microsoft Graph that is none to the question.
type graphError struct{ text string }

func (e *graphError) Error() string { return e.text }

func (cmd *whoamiCommand) Run(ctx context.Context, s *session, c *console) error {
	if _, err := graphAddress(cmd.Graph, ""); err != nil {
		return err
	}
	return s.withAccount(ctx, c, func(o *opened, a *account.Account) error { return cmd.show(ctx, o, a, c) })
}

// show asks Graph who the account's user is, and shows the answer.
func (cmd *whoamiCommand) show(ctx context.Context, o *opened, a *account.Account, c *console) error {
	at, err := graphAddress(cmd.Graph, o.config.Authority)
	if err != nil {
		return err
	}
	if o.config.App {
		return usageError("an application has no user: whoami asks about a user's token; graphtoken inspect shows the application's")
	}
	token, err := a.TokenSource().Token(ctx)
	if token.Secret == "" {
		return o.blame(ctx, err)
	}
	me, asked := askGraph(ctx, o.config.HTTPClient, at, token.Secret.Reveal())
	if asked != nil {
		return errors.Join(err, asked)
	}
	if cmd.JSON {
		return errors.Join(err, writeJSON(c.out, me))
	}
	var is struct {
		Name string `json:"displayName"`
		UPN  string `json:"userPrincipalName"`
		Mail string `json:"mail"`
		ID   string `json:"id"`
	}
	if err := json.Unmarshal(me, &is); err != nil {
		return &graphError{"Microsoft Graph's answer isn't a user's"}
	}
	for _, line := range [][2]string{{"name", is.Name}, {"user", is.UPN}, {"mail", is.Mail}, {"id", is.ID}} {
		if line[1] != "" {
			_, failed := fmt.Fprintf(c.out, "%s: %s\n", line[0], printable(line[1]))
			err = errors.Join(err, failed)
		}
	}
	return err
}

// graphAddress is where Microsoft Graph is for an authority.
// https://learn.microsoft.com/graph/deployments
func graphAddress(flag, authority string) (string, error) {
	if flag != "" {
		u, err := url.Parse(flag)
		if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
			return "", usageError("--graph is the address of Microsoft Graph: https://host")
		}
		return "https://" + u.Host, nil
	}
	host, _ := split(authority)
	switch {
	case strings.HasSuffix(host, ".us"):
		return "https://graph.microsoft.us", nil
	case strings.HasSuffix(host, ".cn"):
		return "https://microsoftgraph.chinacloudapi.cn", nil
	case !microsofts(authority):
		return "", usageError("the identity provider isn't Microsoft's: name the Graph that goes with it by --graph, if it may have the token")
	}
	return "https://graph.microsoft.com", nil
}

// askGraph asks for the user of a token.
// https://learn.microsoft.com/graph/api/user-get
func askGraph(ctx context.Context, client *http.Client, at, token string) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, core.DefaultRefreshTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at+"/v1.0/me", nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	answer, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	if err != nil {
		return nil, &graphError{"Microsoft Graph's answer broke off: " + err.Error()}
	}
	var problem struct {
		Error struct{ Code, Message string }
	}
	switch {
	case answer.StatusCode == http.StatusUnauthorized:
		return nil, &graphError{fmt.Sprintf("%s doesn't accept the token, which may be for another resource: obtain one with graphtoken token --scope User.Read", at)}
	case answer.StatusCode != http.StatusOK:
		_ = json.Unmarshal(body, &problem) // without it, the status has to do
		return nil, &graphError{strings.TrimSpace(fmt.Sprintf("%s answered %s %s %s", at, answer.Status, problem.Error.Code, problem.Error.Message))}
	case !json.Valid(body):
		return nil, &graphError{fmt.Sprintf("%s answered with something that isn't JSON: a proxy may have sent it", at)}
	}
	return body, nil
}
