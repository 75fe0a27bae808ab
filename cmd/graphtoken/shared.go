package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
)

// asking are the shared flags for a request to the provider.
var asking = []string{"scope", "client-secret-file", "certificate", "federated-token-file", "ca"}

// refused are the flags that a command can't honour, of the groups that it heeds (see
// pages). A flag that had no effect would be a surprise: what it asked for hasn't happened.
var refused = map[string][]string{
	"login start":  {"client-credentials"},
	"login finish": {"client-id", "client-credentials", "tenant", "authority", "scope"}, // login start was told
	"logout":       asking,
	"status":       asking,
	"list":         asking,
	"inspect":      asking,
	"whoami":       {"client-credentials"},
	"keepalive":    {"user", "client-credentials", "scope"},
	"purge":        asking,
	"import":       asking,
	"export":       {"client-secret-file", "certificate", "federated-token-file", "ca"},
	"doctor":       {"client-id", "client-credentials"},
	"conformance":  {"record"}, // it makes its own
}

// honours reports whether a command, by its path, can do what a shared flag asks for.
func honours(command string, flag *kong.Flag) bool {
	switch {
	case flag.Name == "profile":
		return len(pages[command].heeds) > 0 || strings.HasPrefix(command, "config ")
	case flag.Group == nil || flag.Group.Key == general:
		return true
	}
	return slices.Contains(pages[command].heeds, flag.Group.Key) && !slices.Contains(refused[command], flag.Name)
}

// refuse returns an error if a shared flag is on the command line that the command can't
// honour. A variable or a profile is for many commands, so there it is no mistake.
func refuse(command *kong.Node, shared []*kong.Flag, given map[string]bool) error {
	for _, f := range shared {
		if given[f.Name] && !honours(command.Path(), f) {
			return usageError(fmt.Sprintf("--%s can't be honoured here: leave it out", f.Name))
		}
	}
	return nil
}
