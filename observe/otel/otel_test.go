package otel_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/graphtoken/graphtoken/backends/memory"
	"github.com/graphtoken/graphtoken/core"
	"github.com/graphtoken/graphtoken/core/tokencache"
	"github.com/graphtoken/graphtoken/observe/otel"
)

const secret = "eyJ-the-secret-access-token"

var query = tokencache.Query{HomeAccountID: "ana.contoso", ClientID: "client", Scopes: []string{"User.Read"}}

// telemetry is what the SDK's exporters in memory got.
type telemetry struct {
	reader *metric.ManualReader
	spans  *tracetest.InMemoryExporter
	tracer *trace.TracerProvider
}

func observe(t testing.TB, o otel.Options) (*otel.Observer, *telemetry) {
	t.Helper()
	got := &telemetry{reader: metric.NewManualReader(), spans: tracetest.NewInMemoryExporter()}
	got.tracer = trace.NewTracerProvider(trace.WithSyncer(got.spans))
	o.MeterProvider, o.TracerProvider = metric.NewMeterProvider(metric.WithReader(got.reader)), got.tracer
	observer, err := otel.New(o)
	if err != nil {
		t.Fatal(err)
	}
	return observer, got
}

// metrics returns the points by metric, event and class of error.
func (got *telemetry) metrics(t testing.TB) map[string]int64 {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := got.reader.Collect(context.Background(), &all); err != nil {
		t.Fatal(err)
	}
	points := make(map[string]int64)
	add := func(name string, set attribute.Set, n int64) {
		event, _ := set.Value("graphtoken.event")
		class, _ := set.Value("error.type")
		points[strings.TrimSpace(fmt.Sprint(name, " ", event.AsString(), " ", class.AsString()))] += n
	}
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			switch data := m.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes, p.Value)
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					add(m.Name, p.Attributes, int64(p.Count))
				}
			}
		}
	}
	return points
}

func signedIn(t testing.TB, observer core.Observer, expiresIn int) *core.Store {
	t.Helper()
	backend, err := memory.New(memory.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := core.NewStore(backend, core.WithObserver(observer))
	if _, err := s.Put(t.Context(), "ana@contoso.com", response(expiresIn)); err != nil {
		t.Fatal(err)
	}
	return s
}

func response(expiresIn int) tokencache.TokenResponse {
	return tokencache.TokenResponse{
		AccessToken: secret, RefreshToken: "refresh-" + secret, Scope: "User.Read", ExpiresIn: expiresIn,
		ClientID: "client", Tenant: "contoso", HomeAccountID: "ana.contoso", GrantType: "authorization_code", Sent: time.Now().Add(-time.Minute),
	}
}

func TestMetricsAndSpansTellWhatAStoreDid(t *testing.T) {
	observer, got := observe(t, otel.Options{})
	s := signedIn(t, observer, 30) // the token expired half a minute ago
	ctx, parent := got.tracer.Tracer("test").Start(t.Context(), "request")
	source := s.TokenSource("ana@contoso.com", query, func(_ context.Context, c *tokencache.Cache, _ core.Refresh) error {
		return c.Put(response(3600))
	})
	for range 3 {
		if _, err := source.Token(ctx); err != nil {
			t.Fatal(err)
		}
	}
	parent.End()
	points := got.metrics(t)
	for name, want := range map[string]int64{
		"graphtoken.events hit":                 2,
		"graphtoken.events refresh":             1,
		"graphtoken.events sign-in":             1,
		"graphtoken.operation.duration refresh": 1,
		"graphtoken.operation.duration save":    2,
		"graphtoken.operation.duration sign-in": 1,
		"graphtoken.operation.duration hit":     0,
	} {
		if points[name] != want {
			t.Errorf("%s: %d, want %d; all: %v", name, points[name], want, points)
		}
	}
	var names []string
	for _, span := range got.spans.GetSpans() {
		if span.Parent.SpanID() == parent.SpanContext().SpanID() {
			names = append(names, span.Name)
		}
	}
	for _, want := range []string{"graphtoken load", "graphtoken refresh", "graphtoken save"} {
		if !slices.Contains(names, want) {
			t.Errorf("the request has no span %q, but %q", want, names)
		}
	}
}

func TestAFailureHasItsClassAndNoText(t *testing.T) {
	observer, got := observe(t, otel.Options{})
	for _, err := range []error{
		fmt.Errorf("%s: %w", secret, core.ErrReauthRequired), errors.New(secret),
		fmt.Errorf("%w: %w", core.ErrConflict, context.Canceled), context.DeadlineExceeded,
	} {
		observer.Observe(t.Context(), core.Event{Name: core.EventRefresh, Key: "k", Duration: time.Second, Err: err})
	}
	points := got.metrics(t)
	for _, class := range []string{"reauth_required", "_OTHER", "conflict", "timeout"} {
		if points["graphtoken.events refresh "+class] != 1 {
			t.Errorf("no event of class %s: %v", class, points)
		}
	}
	text, err := json.Marshal(got.spans.GetSpans())
	if err != nil || strings.Contains(string(text), secret) || strings.Contains(fmt.Sprint(points), secret) {
		t.Errorf("an error's text is in the telemetry: %v", err)
	}
	failures := 0
	for _, span := range got.spans.GetSpans() {
		if span.Status.Code.String() == "Error" {
			failures++
		}
	}
	if failures != 3 {
		t.Errorf("%d spans have failed, want 3: a conflict is none", failures)
	}
}

func TestKeysAreInSpansOnlyWhereAskedFor(t *testing.T) {
	for _, keys := range []bool{false, true} {
		observer, got := observe(t, otel.Options{Keys: keys, Store: "tokens"})
		signedIn(t, observer, 3600)
		text, err := json.Marshal(got.spans.GetSpans())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "ana@contoso.com") != keys || !strings.Contains(string(text), "graphtoken.store") {
			t.Errorf("Keys is %t, and the spans are %s", keys, text)
		}
		if strings.Contains(fmt.Sprint(got.metrics(t)), "ana@contoso.com") {
			t.Error("a key is in the metrics")
		}
	}
}

// The names in the dashboard are those that the Prometheus exporter makes of the metrics:
// dots become underscores, the unit follows, and a counter ends in _total.
func TestTheDashboardAsksForMetricsThatThereAre(t *testing.T) {
	data, err := os.ReadFile("dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(data, &dashboard); err != nil {
		t.Fatal(err)
	}
	known := []string{
		"graphtoken_events_total",
		"graphtoken_operation_duration_seconds_bucket", "graphtoken_operation_duration_seconds_count", "graphtoken_operation_duration_seconds_sum",
	}
	events := []core.EventName{
		core.EventHit, core.EventLoad, core.EventSave, core.EventRefresh, core.EventSignIn,
		core.EventWait, core.EventTakeover, core.EventMerge, core.EventBackoff, core.EventUnsaved,
	}
	name, event := regexp.MustCompile(`graphtoken_\w+_(?:total|bucket|count|sum)`), regexp.MustCompile(`graphtoken_event=~?"([^"]*)"`)
	asked := make(map[core.EventName]bool)
	for _, panel := range dashboard.Panels {
		if len(panel.Targets) == 0 {
			t.Errorf("panel %q asks for nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			names := name.FindAllString(target.Expr, -1)
			if len(names) == 0 {
				t.Errorf("panel %q asks for no metric of ours: %s", panel.Title, target.Expr)
			}
			for _, n := range names {
				if !slices.Contains(known, n) {
					t.Errorf("panel %q asks for %s, which nothing makes", panel.Title, n)
				}
			}
			for _, m := range event.FindAllStringSubmatch(target.Expr, -1) {
				for e := range strings.SplitSeq(m[1], "|") {
					asked[core.EventName(e)] = true
				}
			}
		}
	}
	for e := range asked {
		if !slices.Contains(events, e) {
			t.Errorf("the dashboard asks for the event %q, which there is not", e)
		}
	}
	for _, e := range events {
		if !asked[e] {
			t.Errorf("the dashboard shows no %q", e)
		}
	}
}

func BenchmarkAHit(b *testing.B) {
	observer, _ := observe(b, otel.Options{})
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		observer.Observe(ctx, core.Event{Name: core.EventHit, Key: "k"})
	}
}
