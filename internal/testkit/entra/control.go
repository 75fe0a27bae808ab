package entra

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"
)

// control is the server's interface for other processes: a demo, a Python test, a shell
// with curl. Every answer is JSON; a POST body is JSON too and may be left out where
// nothing in it is needed.
//
//	GET  /testkit/grants       the counters and the log: Grants
//	GET  /testkit/graph        the Graph stand-in's counters: graph.Calls
//	GET  /testkit/users        []User
//	POST /testkit/users        User: adds or changes one
//	POST /testkit/reset        sets all counters to zero
//	POST /testkit/settings     Settings: those present change
//	POST /testkit/faults       FaultOrder: queues faults
//	POST /testkit/clear        forgets faults, opens gates
//	POST /testkit/hold         {"grant": "refresh_token", "reply": true}: holds requests (of any grant, if empty),
//	                           before they are processed or, with reply, before they are answered
//	GET  /testkit/held         {"waiting": 2}
//	POST /testkit/release      {"n": 1}: lets n held requests go; without n opens all gates
//	POST /testkit/revoke       {"user": "ana@contoso.com", "access_only": true}
//	POST /testkit/demand       {"claims": "{…}"}: Graph demands claims; empty ends it
//	POST /testkit/device       {"user_code": "…", "username": "…"}: approves; no username declines
//
// It is no secret to whoever reaches the port, which is why the server stays on loopback.
func (s *Server) control() *http.ServeMux {
	mux := http.NewServeMux()
	get := func(path string, answer func() any) {
		mux.HandleFunc("GET /testkit/"+path, func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, http.StatusOK, answer())
		})
	}
	get("grants", func() any { return s.Grants() })
	get("graph", func() any { return s.graph.Calls() })
	get("users", func() any { return s.Users() })
	get("held", func() any { return map[string]int{"waiting": s.waiting()} })

	handle(mux, "users", s.AddUser)
	handle(mux, "reset", func(struct{}) error {
		s.ResetGrants()
		s.graph.ResetCalls()
		return nil
	})
	handle(mux, "settings", s.apply)
	handle(mux, "faults", s.injectOrdered)
	handle(mux, "clear", func(struct{}) error { s.ClearFaults(); return nil })
	handle(mux, "hold", func(o struct {
		Grant string `json:"grant"`
		Reply bool   `json:"reply"`
	}) error {
		s.shut(o.Grant, o.Reply)
		return nil
	})
	handle(mux, "release", func(o struct {
		N int `json:"n"`
	}) error {
		s.release(o.N)
		return nil
	})
	handle(mux, "revoke", func(o struct {
		User       string `json:"user"`
		AccessOnly bool   `json:"access_only"`
	}) error {
		if o.AccessOnly {
			s.RevokeAccess(o.User)
		} else {
			s.Revoke(o.User)
		}
		return nil
	})
	handle(mux, "demand", func(o struct {
		Claims string `json:"claims"`
	}) error {
		return s.graph.Demand(o.Claims)
	})
	handle(mux, "device", func(o struct {
		UserCode string `json:"user_code"`
		Username string `json:"username"`
	}) error {
		if o.Username == "" {
			return s.DeclineDevice(o.UserCode)
		}
		return s.ApproveDevice(o.UserCode, o.Username)
	})
	return mux
}

// Settings is the body of /testkit/settings; what is absent stays.
type Settings struct {
	Strict     *bool     `json:"strict,omitempty"`
	ReuseGrace *Duration `json:"reuse_grace,omitempty"`
	Lifetime   *Duration `json:"lifetime,omitempty"`
	RefreshIn  *Duration `json:"refresh_in,omitempty"`
}

func (s *Server) apply(n Settings) error {
	s.set(func(o *Options) {
		if n.Strict != nil {
			o.Strict = *n.Strict
		}
		for _, d := range []struct {
			to   *time.Duration
			from *Duration
		}{{&o.ReuseGrace, n.ReuseGrace}, {&o.Lifetime, n.Lifetime}, {&o.RefreshIn, n.RefreshIn}} {
			if d.from != nil {
				*d.to = time.Duration(*d.from)
			}
		}
	})
	return nil
}

// FaultOrder is the body of /testkit/faults: one fault, for the next Times (at least one)
// requests of a grant type.
type FaultOrder struct {
	Grant            string            `json:"grant,omitempty"`
	Times            int               `json:"times,omitempty"`
	Status           int               `json:"status,omitempty"`
	Header           map[string]string `json:"header,omitempty"`
	Body             string            `json:"body,omitempty"`
	Process          bool              `json:"process,omitempty"`
	Before           Duration          `json:"before,omitempty"`
	After            Duration          `json:"after,omitempty"`
	Drop             bool              `json:"drop,omitempty"`
	OmitRefreshToken bool              `json:"omit_refresh_token,omitempty"`
}

func (s *Server) injectOrdered(o FaultOrder) error {
	if o.Status != 0 && (o.Status < 200 || o.Status > 599) {
		return fmt.Errorf("status %d is not one of HTTP's", o.Status)
	}
	f := Fault{
		Status: o.Status, Header: http.Header{}, Body: o.Body, Process: o.Process,
		Before: time.Duration(o.Before), After: time.Duration(o.After), Drop: o.Drop, OmitRefreshToken: o.OmitRefreshToken,
	}
	for name, value := range o.Header {
		f.Header.Set(name, value)
	}
	for range max(o.Times, 1) {
		s.Inject(o.Grant, f)
	}
	return nil
}

// Duration is a time.Duration that JSON writes as Go does ("1.5s"); a bare number is seconds.
type Duration time.Duration

// MarshalJSON writes "1.5s".
func (d Duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

// UnmarshalJSON reads "1.5s" or 1.5.
func (d *Duration) UnmarshalJSON(b []byte) error {
	if n, err := strconv.ParseFloat(string(b), 64); err == nil {
		*d = Duration(n * float64(time.Second))
		return nil
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	parsed, err := time.ParseDuration(text)
	*d = Duration(parsed)
	return err
}

func (s *Server) waiting() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, h := range s.faults.gates {
		n += h.gate.Waiting()
	}
	return n
}

func (s *Server) release(n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range s.faults.gates {
		if n > 0 {
			h.gate.Pass(n)
		} else {
			h.gate.Open()
		}
	}
}

// handle serves a POST whose body is a T.
func handle[T any](mux *http.ServeMux, path string, do func(T) error) {
	mux.HandleFunc("POST /testkit/"+path, func(w http.ResponseWriter, r *http.Request) {
		var order T
		in := json.NewDecoder(http.MaxBytesReader(w, r.Body, bodyLimit))
		in.DisallowUnknownFields()
		err := in.Decode(&order)
		if err != nil && !errors.Is(err, io.EOF) {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
		if err := do(order); err != nil {
			writeJSON(w, http.StatusBadRequest, map[string]string{"error": err.Error()})
			return
		}
		writeJSON(w, http.StatusOK, struct{}{})
	})
}
