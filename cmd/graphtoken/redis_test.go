package main_test

import (
	"strings"
	"testing"

	"github.com/graphtoken/graphtoken/internal/testkit/redistest"
)

func TestAStoreIsCopiedToRedisAndExaminedThere(t *testing.T) {
	server := redistest.Start(t)
	w := newWorld(t)
	w.login(ana)
	token := w.ok("token")
	url := "redis://" + server.Addr + "/0"
	w.ok("copy", w.file(), url+"#ana")
	if got := w.ok("token", "--store", url+"#ana"); got != token {
		t.Error("the copy has another token")
	}
	w.finds(0, url)
	if names := w.ok("list", "--names", "--store", url); names != "ana" {
		t.Errorf("the doctor left %q", names)
	}
	server.CLI(t, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	w.finds(5, url, "eviction")
	server.Stop(t)
	// The client's own messages, which name no record, aren't among the command's.
	lines := strings.Split(strings.TrimSpace(w.fails(5, "token", "--store", url+"#ana").err), "\n")
	if len(lines) != 2 || !strings.HasPrefix(lines[0], "graphtoken token: "+url) || !strings.Contains(lines[1], "graphtoken doctor "+url) {
		t.Errorf("the message is %q", lines)
	}
}
