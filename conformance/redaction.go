package conformance

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"strings"
	"sync"

	"github.com/graphtoken/graphtoken/core"
)

// canary is the secret in the records of these cases. It is long enough to be recognized
// in base64, whatever is before it.
const canary = "CANARY0refresh0token0that0nobody0may0print0CANARY"

func redaction() []testCase {
	return []testCase{
		{"errors", must("No error shows a record's data."), 0,
			func(c *trial) { c.provoke(secret, func(what string, err error) { c.wantNoSecret(what, err, true) }) }},
		{"handles", must("Printing a handle or a lease shows no record's data."), 0,
			func(c *trial) {
				a := c.open()
				c.save(a, key, secret(1))
				c.load(a, key)
				c.wantNoSecret("the backend", a, false)
				if c.want.Lease {
					c.wantNoSecret("the lease", c.acquire(a, key, holding), false)
				}
			}},
		{"logs", must("Nothing a backend writes to the default loggers shows a record's data."), 0,
			func(c *trial) {
				logged := captureLogs()
				defer logged.stop()
				c.provoke(secret, func(string, error) {})
				logged.stop()
				c.wantNoSecret("the log", logged.String(), true)
			}},
	}
}

func secret(n int) []byte {
	return fmt.Appendf(nil, `{"RefreshToken":{"%d":{"secret":"%s"}}}`, n, canary)
}

// provoke does everything with secret records that succeeds or fails, and passes every
// error to seen.
func (c *trial) provoke(secret func(n int) []byte, seen func(what string, err error)) {
	a, b := c.pair()
	save := func(what string, ctx context.Context, key string, rec core.Record) {
		_, err := a.Save(ctx, key, rec)
		seen(what, err)
	}
	old := c.save(a, key, secret(1))
	c.save(b, key, secret(2))
	save("a stale Save", c.ctx, key, core.Record{Data: secret(3), Version: old})
	save("a Save with Absent over a record", c.ctx, key, core.Record{Data: secret(3), Version: core.Absent})
	save("a Save with a version nobody made up", c.ctx, key, core.Record{Data: secret(3), Version: "no-such-version"})
	save("a Save under an invalid key", c.ctx, "a\x00b", core.Record{Data: secret(3), Version: core.AnyVersion})
	cancelled, cancel := context.WithCancel(c.ctx)
	cancel()
	save("a cancelled Save", cancelled, key, core.Record{Data: secret(3), Version: core.AnyVersion})
	if c.want.MaxSize > 0 && c.want.MaxSize < 64<<20 {
		save("a Save over the limit", c.ctx, key, core.Record{Data: append(secret(3), bytes.Repeat([]byte("."), c.want.MaxSize)...), Version: core.AnyVersion})
	}
	c.load(a, key)
	_, err := a.Load(cancelled, key)
	seen("a cancelled Load", err)
	_, err = a.ShouldRefresh(c.soon(), key, core.RefreshRequest{Seen: core.AnyVersion, LeaseTTL: holding, Refresh: func(ctx context.Context, current core.Record) error {
		_, _ = a.Save(ctx, key, core.Record{Data: secret(4), Version: current.Version})
		return errors.New("the provider said no")
	}})
	seen("a ShouldRefresh whose Refresh failed", err)
	if c.fail != nil {
		c.fail(-1)
		_, err := a.Load(c.soon(), key)
		seen("a Load in an outage", err)
		save("a Save in an outage", c.soon(), key, core.Record{Data: secret(5), Version: core.AnyVersion})
		c.fail(0)
	}
	if c.corrupt != nil {
		c.save(a, key, secret(6))
		c.corrupt(key)
		_, err := a.Load(c.ctx, key)
		seen("a Load of a damaged record", err)
	}
	c.delete(a, key)
	_, err = a.Load(c.ctx, key)
	seen("a Load of a deleted record", err)
}

// wantNoSecret looks for the canary in every way in which a value is printed. Bytes that
// are printed as numbers count in messages, which people read. A handle, which is no
// message, may have them in its fields.
func (c *trial) wantNoSecret(what string, value any, numbers bool) {
	for _, verb := range []string{"%v", "%+v", "%#v"} {
		if form := printed(fmt.Sprintf(verb, value), numbers); form != "" {
			c.Errorf("%s shows the secret, %s, when it is printed with %s", what, form, verb)
			return
		}
	}
}

// printed returns the form in which the canary is in text, or "".
func printed(text string, numbers bool) string { return shown(text, canary, numbers) }

// shown returns the form in which secret is in text, or "".
func shown(text, secret string, numbers bool) string {
	if strings.Contains(text, secret) {
		return "in plain"
	}
	if strings.Contains(strings.ToLower(text), hex.EncodeToString([]byte(secret))) {
		return "in hexadecimal"
	}
	for shift := range 3 {
		// The groups of three bytes that consist of the secret alone.
		inner := secret[shift:]
		inner = inner[:len(inner)/3*3]
		for _, encoding := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			if strings.Contains(text, encoding.EncodeToString([]byte(inner))) {
				return "in base64"
			}
		}
	}
	if numbers {
		decimal := strings.Trim(fmt.Sprint([]byte(secret)), "[]")
		golang := strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%#v", []byte(secret)), "[]byte{"), "}")
		if strings.Contains(text, decimal) || strings.Contains(text, strings.ReplaceAll(decimal, " ", ",")) || strings.Contains(text, golang) {
			return "byte by byte"
		}
	}
	return ""
}

// captured collects what is written to the default loggers of log and slog until stop.
type captured struct {
	mu   sync.Mutex
	text bytes.Buffer
	stop func()
}

func captureLogs() *captured {
	l := new(captured)
	logger, writer, flags := slog.Default(), log.Writer(), log.Flags()
	slog.SetDefault(slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug - 4}))) // and log's output with it
	l.stop = sync.OnceFunc(func() {
		slog.SetDefault(logger)
		log.SetOutput(writer)
		log.SetFlags(flags)
		_, _ = io.WriteString(writer, l.String()) // other code may have logged meanwhile
	})
	return l
}

func (l *captured) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *captured) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}
