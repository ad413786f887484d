// Package query serves the Prometheus HTTP API of collectord over any
// storage.Queryable: queries by the promql engine, and labels, series and
// metadata. Answers are byte for byte those of Prometheus' own server for the
// endpoints that are here, so Grafana and every other client of Prometheus
// work; docs/decisions/0002 says why the handlers are ours.
//
// A request passes: parse parameters (parameters.go), wait for a place among
// the concurrent queries (gate.go), evaluate (evaluate.go, lookup.go), and
// stream the answer (encode.go).
package query

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Config bounds what queries may cost.
type Config struct {
	// Timeout is the longest a query may run; a caller may ask for less.
	// Longer: heavy queries finish. Shorter: they hold a core for less time.
	Timeout time.Duration `toml:"timeout"`
	// MaxSamples is how many samples a query may hold in memory at once, at 16
	// bytes each. More: wider queries succeed. Fewer: one query can take less
	// memory from the collector.
	MaxSamples int `toml:"max_samples"`
	// MaxConcurrent is how many queries run at once; others wait their turn
	// within their timeout. More: short queries wait less behind long ones.
	// Fewer: less memory and CPU are taken from the storing of samples.
	MaxConcurrent int `toml:"max_concurrent"`
	// MaxPoints is the most steps of a range query. Prometheus allows 11000,
	// and clients count on it. More: finer long graphs. Fewer: smaller answers.
	MaxPoints int `toml:"max_points"`
	// MaxSeries is the most entries that labels, label values and series
	// return when the caller sets no smaller limit; a longer answer is cut
	// with a warning. More: complete lists of huge fleets. Fewer: less memory.
	MaxSeries int `toml:"max_series"`
	// Lookback is how old the newest sample of a series may be to still count
	// as its present value. Longer: slow series do not flicker. Shorter:
	// series that ended without a marker vanish sooner.
	Lookback time.Duration `toml:"lookback"`
}

// DefaultConfig is for a small collector; timeout, points and lookback are
// Prometheus' own.
func DefaultConfig() Config {
	return Config{
		Timeout:       2 * time.Minute,
		MaxSamples:    20_000_000,
		MaxConcurrent: 8,
		MaxPoints:     11_000,
		MaxSeries:     500_000,
		Lookback:      5 * time.Minute,
	}
}

// Validate names every value that cannot work (model.FieldError).
func (c Config) Validate() error {
	return errors.Join(
		model.FieldWithin("timeout", c.Timeout, time.Second, time.Hour),
		model.FieldAtLeast("max_samples", c.MaxSamples, 1000),
		model.FieldWithin("max_concurrent", c.MaxConcurrent, 1, 1000),
		model.FieldWithin("max_points", c.MaxPoints, 1, 1_000_000),
		model.FieldAtLeast("max_series", c.MaxSeries, 1),
		model.FieldWithin("lookback", c.Lookback, time.Second, 24*time.Hour))
}

// Deps is what the handlers stand on.
type Deps struct {
	Queryable storage.Queryable
	// Metadata describes the named family, or all when metric is empty, sorted
	// by name; a name may occur several times with different meanings.
	Metadata func(metric string) []model.Family
	// Ready returns nil when queries can be answered, or why not.
	Ready func() error
	Build api.BuildInfo // Version may be empty: then it is that of the linked Prometheus library
	Log   *slog.Logger
	Now   func() time.Time
}

// API serves the endpoints. Safe for concurrent use.
type API struct {
	config Config
	deps   Deps
	engine *promql.Engine
	parse  parser.Parser
	gate   *gate
}

// New checks config and builds the query engine.
func New(config Config, deps Deps) (*API, error) {
	if err := config.Validate(); err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	if deps.Build.Version == "" {
		deps.Build.Version = libraryVersion()
	}
	a := &API{config: config, deps: deps, gate: newGate(config.MaxConcurrent), parse: parser.NewParser(parser.Options{})}
	a.engine = promql.NewEngine(promql.EngineOpts{
		Logger:               deps.Log,
		MaxSamples:           config.MaxSamples,
		Timeout:              config.Timeout,
		ActiveQueryTracker:   a.gate,
		LookbackDelta:        config.Lookback,
		EnableAtModifier:     true,
		EnableNegativeOffset: true,
		Parser:               a.parse,
		NoStepSubqueryIntervalFn: func(int64) int64 {
			return time.Minute.Milliseconds() // Prometheus' default evaluation interval
		},
	})
	return a, nil
}

// Stats are figures of the query side.
type Stats struct {
	Running int // queries evaluated now
	Waiting int // queries that wait for a place
}

// Stats returns the figures now.
func (a *API) Stats() Stats {
	return Stats{Running: a.gate.running(), Waiting: int(a.gate.waiting.Load())}
}

// Register adds the routes to mux, each wrapped by wrap under its own name.
func (a *API) Register(mux *http.ServeMux, wrap func(name string, next http.Handler) http.Handler) {
	both := func(path, name string, serve http.HandlerFunc) {
		h := wrap(name, a.prepared(serve))
		mux.Handle("GET "+path, h)
		mux.Handle("POST "+path, h)
	}
	both(api.PathQuery, "query", a.instant)
	both(api.PathQueryRange, "query_range", a.span)
	both(api.PathLabels, "labels", a.labelNames)
	both(api.PathSeries, "series", a.series)
	mux.Handle("GET "+api.PathLabelValues, wrap("label_values", a.prepared(a.labelValues)))
	mux.Handle("GET "+api.PathMetadata, wrap("metadata", a.prepared(a.metadata)))
	mux.Handle("GET "+api.PathBuildInfo, wrap("buildinfo", http.HandlerFunc(a.buildInfo)))
	mux.Handle("GET "+api.PathReady, wrap("ready", http.HandlerFunc(a.ready)))
	mux.Handle("GET "+api.PathHealthy, wrap("healthy", http.HandlerFunc(a.healthy)))
	mux.Handle("/api/v1/", wrap("not_found", http.HandlerFunc(notFound)))
}

// prepared refuses requests before the store is ready, and reads the form: its
// errors would otherwise look like missing parameters.
func (a *API) prepared(serve http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := a.deps.Ready(); err != nil {
			reply.Error(w, reply.Unavailable, err.Error())
			return
		}
		if err := parseForm(r); err != nil {
			respondError(w, err)
			return
		}
		serve(w, r)
	})
}

func (a *API) ready(w http.ResponseWriter, _ *http.Request) {
	if err := a.deps.Ready(); err != nil {
		http.Error(w, "Not ready: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	text(w, "Ready.\n")
}

func (a *API) healthy(w http.ResponseWriter, _ *http.Request) { text(w, "Healthy.\n") }

func text(w http.ResponseWriter, body string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(body))
}

func notFound(w http.ResponseWriter, r *http.Request) {
	reply.Error(w, reply.NotFound, fmt.Sprintf("no endpoint %s %s", r.Method, r.URL.Path))
}
