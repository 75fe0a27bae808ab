// Package otel makes OpenTelemetry metrics and traces of what a core.Store does.
//
//	observer, err := otel.New(otel.Options{})
//	if err != nil {
//		return err
//	}
//	store := core.NewStore(backend, core.WithObserver(observer))
//
// # Metrics
//
//	graphtoken.operation.duration  histogram, seconds: load, save, refresh, sign-in, wait
//	graphtoken.events              counter: all events, those without a duration too
//
// Both have the attribute graphtoken.event, the name of the event (see core.EventName),
// and error.type where it failed: a class such as "reauth_required" or "conflict", never
// an error's text.
//
// # Traces
//
// Every operation that takes time is a span below the span of the caller's context.
// A background refresh belongs to the span of the call that started it.
//
// Keys often name users, so they are in no metric, and in spans only with Options.Keys.
package otel

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/graphtoken/graphtoken/core"
)

// scope names the instrumentation to OpenTelemetry.
const scope = "github.com/graphtoken/graphtoken/observe/otel"

// Options configures an Observer. The zero value takes the process's global providers.
type Options struct {
	MeterProvider  metric.MeterProvider
	TracerProvider trace.TracerProvider

	// Store is the attribute graphtoken.store of everything, to tell several stores of
	// a program apart. It may be empty.
	Store string

	// Keys puts the record's key into spans, as the attribute graphtoken.key. Keys often
	// are user names or home account IDs: personal data.
	Keys bool
}

// Observer is a [core.Observer]. It is safe for concurrent use.
type Observer struct {
	tracer   trace.Tracer
	duration metric.Float64Histogram
	events   metric.Int64Counter
	common   []attribute.KeyValue
	hit      metric.MeasurementOption // of the one event that comes with every call
	keys     bool
}

var _ core.Observer = (*Observer)(nil)

// New returns an observer. It returns an error if the MeterProvider refuses an
// instrument.
func New(o Options) (*Observer, error) {
	if o.MeterProvider == nil {
		o.MeterProvider = otel.GetMeterProvider()
	}
	if o.TracerProvider == nil {
		o.TracerProvider = otel.GetTracerProvider()
	}
	observer := &Observer{tracer: o.TracerProvider.Tracer(scope), keys: o.Keys}
	if o.Store != "" {
		observer.common = append(observer.common, attribute.String("graphtoken.store", o.Store))
	}
	observer.hit = metric.WithAttributeSet(attribute.NewSet(observer.attributes(core.Event{Name: core.EventHit})...))
	meter := o.MeterProvider.Meter(scope)
	var err error
	observer.duration, err = meter.Float64Histogram("graphtoken.operation.duration",
		metric.WithUnit("s"),
		metric.WithDescription("How long a store's loads, saves, refreshes, sign-ins and waits for a lease took."),
		metric.WithExplicitBucketBoundaries(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30))
	if err != nil {
		return nil, err
	}
	observer.events, err = meter.Int64Counter("graphtoken.events",
		metric.WithUnit("{event}"),
		metric.WithDescription("What a store did: see core.EventName."))
	if err != nil {
		return nil, err
	}
	return observer, nil
}

// Observe implements [core.Observer].
func (o *Observer) Observe(ctx context.Context, e core.Event) {
	if e.Name == core.EventHit {
		o.events.Add(ctx, 1, o.hit)
		return
	}
	attributes := o.attributes(e)
	set := metric.WithAttributeSet(attribute.NewSet(attributes...))
	o.events.Add(ctx, 1, set)
	if !takesTime(e.Name) {
		return
	}
	o.duration.Record(ctx, e.Duration.Seconds(), set)
	o.span(ctx, e, attributes)
}

// span makes the span of an operation that is over.
func (o *Observer) span(ctx context.Context, e core.Event, attributes []attribute.KeyValue) {
	end := time.Now()
	if o.keys {
		attributes = append(attributes, attribute.String("graphtoken.key", e.Key))
	}
	_, span := o.tracer.Start(ctx, "graphtoken "+string(e.Name),
		trace.WithTimestamp(end.Add(-e.Duration)),
		trace.WithSpanKind(trace.SpanKindInternal),
		trace.WithAttributes(attributes...))
	if failed(e) {
		span.SetStatus(codes.Error, errorType(e.Err))
	}
	span.End(trace.WithTimestamp(end))
}

// attributes are those of an event, without its key.
func (o *Observer) attributes(e core.Event) []attribute.KeyValue {
	attributes := append(make([]attribute.KeyValue, 0, len(o.common)+3), o.common...)
	attributes = append(attributes, attribute.String("graphtoken.event", string(e.Name)))
	if e.Err != nil {
		attributes = append(attributes, attribute.String("error.type", errorType(e.Err)))
	}
	return attributes
}

// failed reports whether an event is a failure. A conflict is the usual answer to a save
// that came second.
func failed(e core.Event) bool { return e.Err != nil && !errors.Is(e.Err, core.ErrConflict) }

func takesTime(name core.EventName) bool {
	switch name {
	case core.EventLoad, core.EventSave, core.EventRefresh, core.EventSignIn, core.EventWait:
		return true
	}
	return false
}

// types are the classes of errors, in the order in which they are looked for: what says
// more comes first.
var types = []struct {
	is   error
	name string
}{
	{core.ErrReauthRequired, "reauth_required"},
	{core.ErrRefreshedNotSaved, "refreshed_not_saved"},
	{core.ErrConflict, "conflict"},
	{core.ErrLeaseHeld, "lease_held"},
	{core.ErrLeaseLost, "lease_lost"},
	{core.ErrNotFound, "not_found"},
	{core.ErrCorrupt, "corrupt"},
	{core.ErrDecrypt, "decrypt"},
	{core.ErrTooLarge, "too_large"},
	{core.ErrReadOnly, "read_only"},
	{core.ErrAmbiguous, "ambiguous"},
	{core.ErrInvalidKey, "invalid_key"},
	{context.DeadlineExceeded, "timeout"},
	{context.Canceled, "canceled"},
}

// errorType is the class of an error. OpenTelemetry calls the rest "_OTHER":
// https://opentelemetry.io/docs/specs/semconv/attributes-registry/error/
func errorType(err error) string {
	for _, t := range types {
		if errors.Is(err, t.is) {
			return t.name
		}
	}
	return "_OTHER"
}
