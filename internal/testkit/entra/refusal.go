package entra

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// refusal is an error answer: an OAuth code (RFC 6749 section 5.2) and the number
// Entra adds to it. The numbers and texts follow
// https://learn.microsoft.com/entra/identity-platform/reference-error-codes.
type refusal struct {
	code     string // of RFC 6749 or RFC 8628
	suberror string // read by MSAL Python (application.py, "classification")
	aadsts   int
	text     string
}

func refuse(code string, aadsts int, format string, args ...any) *refusal {
	return &refusal{code: code, aadsts: aadsts, text: fmt.Sprintf(format, args...)}
}

func (r *refusal) with(suberror string) *refusal {
	r.suberror = suberror
	return r
}

func (r *refusal) Error() string { return fmt.Sprintf("%s: AADSTS%d: %s", r.code, r.aadsts, r.text) }

// outcome is how the event log calls it: no token, no text from the request.
func (r *refusal) outcome() string { return fmt.Sprintf("%s AADSTS%d", r.code, r.aadsts) }

func (r *refusal) status() int {
	if r.code == "invalid_client" {
		return http.StatusUnauthorized // RFC 6749 section 5.2
	}
	return http.StatusBadRequest
}

// write answers as Entra's token endpoint does.
func (r *refusal) write(w http.ResponseWriter, req *http.Request, now time.Time) {
	trace, correlation := randomUUID(), req.Header.Get("client-request-id")
	if correlation == "" {
		correlation = randomUUID()
	}
	stamp := now.UTC().Format("2006-01-02 15:04:05Z")
	body := struct {
		Error         string `json:"error"`
		Description   string `json:"error_description"`
		Codes         []int  `json:"error_codes"`
		Timestamp     string `json:"timestamp"`
		TraceID       string `json:"trace_id"`
		CorrelationID string `json:"correlation_id"`
		URI           string `json:"error_uri"`
		Suberror      string `json:"suberror,omitempty"`
	}{
		Error: r.code,
		Description: fmt.Sprintf("AADSTS%d: %s Trace ID: %s Correlation ID: %s Timestamp: %s",
			r.aadsts, r.text, trace, correlation, stamp),
		Codes: []int{r.aadsts}, Timestamp: stamp, TraceID: trace, CorrelationID: correlation,
		URI:      fmt.Sprintf("%s/error?code=%d", base(req), r.aadsts),
		Suberror: r.suberror,
	}
	if _, _, basic := req.BasicAuth(); basic && r.code == "invalid_client" {
		// RFC 6749 section 5.2: who tried the Authorization header is told so.
		w.Header().Set("WWW-Authenticate", `Basic realm="entra"`)
	}
	writeJSON(w, r.status(), body)
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store") // RFC 6749 section 5.1
	w.WriteHeader(status)
	// A reader that is gone can't be told.
	_ = json.NewEncoder(w).Encode(body)
}

// base is the scheme and host the client used, so that one server answers as
// login.microsoftonline.com and as 127.0.0.1.
func base(r *http.Request) string { return "https://" + r.Host }
