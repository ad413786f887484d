package query

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// epoch is the time of the first sample, 2026-05-04 12:00 UTC.
const epoch = 1777896000

// sample is one value for the test storage, at seconds after the epoch.
type sample struct {
	labels labels.Labels
	at     float64
	value  float64
}

// testSamples hold every spelling of a value and of a label that JSON cares about.
func testSamples() []sample {
	var out []sample
	add := func(at, v float64, pairs ...string) {
		out = append(out, sample{labels.FromStrings(pairs...), at, v})
	}
	for i := range 5 {
		at := float64(60 * i)
		add(at, float64(i*100), "__name__", "requests_total", "instance", "a", "job", "node")
		add(at, float64(i*50), "__name__", "requests_total", "instance", "b", "job", "node")
		add(at+0.005, 1.0/3, "__name__", "thirds", "instance", "a")
	}
	for i, v := range []float64{0, math.Copysign(0, -1), 1e-7, 1e21, 123456789012345680, -2.5, math.NaN(), math.Inf(1), math.Inf(-1), 1e-6, 5e-324} {
		add(240, v, "__name__", "odd", "n", string(rune('a'+i)))
	}
	add(240, 1, "__name__", "texts", "kind", "html", "text", `<a href="x">&amp;\</a>`)
	add(240, 1, "__name__", "texts", "kind", "control", "text", "tab\tline\nreturn\rbell\a\x7f\b\f")
	add(240, 1, "__name__", "texts", "kind", "unicode", "text", "ünï→\u2028\U0001F600")
	add(240, 1, "__name__", "dotted.name", "label.dot", "x")
	return out
}

// testStorage is a database with the test samples and one native histogram.
func testStorage(t testing.TB) *tsdb.DB {
	t.Helper()
	options := tsdb.DefaultOptions()
	options.RetentionDuration = 0
	db, err := tsdb.Open(t.TempDir(), nil, nil, options, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	app := db.Appender(context.Background())
	for _, s := range testSamples() {
		if _, err := app.Append(0, s.labels, epoch*1000+int64(s.at*1000+0.5), s.value); err != nil {
			t.Fatal(err)
		}
	}
	h := &histogram.Histogram{Schema: 0, Count: 12, Sum: 18.4, ZeroThreshold: 0.001, ZeroCount: 2,
		PositiveSpans: []histogram.Span{{Offset: 0, Length: 2}, {Offset: 1, Length: 2}}, PositiveBuckets: []int64{1, 1, -1, 0},
		NegativeSpans: []histogram.Span{{Offset: 0, Length: 1}}, NegativeBuckets: []int64{5}}
	if _, err := app.AppendHistogram(0, labels.FromStrings("__name__", "sizes", "instance", "a"), (epoch+240)*1000, h, nil); err != nil {
		t.Fatal(err)
	}
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	return db
}

// testMetadata stands for the store's.
func testMetadata(metric string) []model.Family {
	all := []model.Family{
		{Name: "odd", Help: `<b> & "quotes"`, Type: model.Untyped},
		{Name: "requests_total", Help: "Requests.", Type: model.Counter},
		{Name: "requests_total", Help: "Other requests.", Type: model.Gauge},
		{Name: "thirds", Help: "", Type: model.Gauge},
	}
	if metric == "" {
		return all
	}
	var some []model.Family
	for _, f := range all {
		if f.Name == metric {
			some = append(some, f)
		}
	}
	return some
}

func testDeps(queryable storage.Queryable) Deps {
	return Deps{
		Queryable: queryable,
		Metadata:  testMetadata,
		Ready:     func() error { return nil },
		Build: api.BuildInfo{Version: "3.15.0", Revision: "r", Branch: "main", BuildUser: "u",
			BuildDate: "d", GoVersion: "go1.26", Cloudless: "0.1.0"},
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Now: func() time.Time { return time.Unix(epoch+240, 0) },
	}
}

// testServer serves the API over HTTP on a free port.
func testServer(t testing.TB, config Config, deps Deps) (*httptest.Server, *API) {
	t.Helper()
	a, err := New(config, deps)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	a.Register(mux, func(_ string, next http.Handler) http.Handler { return next })
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server, a
}

// ask sends one request line, "GET /path?query" or "POST /path form".
func ask(t testing.TB, base, line string) (status int, contentType, body string) {
	t.Helper()
	method, rest, _ := strings.Cut(line, " ")
	target, form, _ := strings.Cut(rest, " ")
	request, err := http.NewRequestWithContext(t.Context(), method, base+target, strings.NewReader(form))
	if err != nil {
		t.Fatal(err)
	}
	if method == http.MethodPost {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(response.Body); err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Header.Get("Content-Type"), b.String()
}

// brokenStorage fails in the ways a storage can.
type brokenStorage struct {
	err  error
	open bool // whether its queriers open, and fail later
}

func (b brokenStorage) Querier(int64, int64) (storage.Querier, error) {
	if !b.open {
		return nil, b.err
	}
	return brokenQuerier{b.err}, nil
}

type brokenQuerier struct{ err error }

func (q brokenQuerier) Select(context.Context, bool, *storage.SelectHints, ...*labels.Matcher) storage.SeriesSet {
	return storage.ErrSeriesSet(q.err)
}

func (q brokenQuerier) LabelValues(context.Context, string, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, q.err
}

func (q brokenQuerier) LabelNames(context.Context, *storage.LabelHints, ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	return nil, nil, q.err
}

func (q brokenQuerier) Close() error { return nil }

// blockingStorage holds every query until its context is done.
type blockingStorage struct{ entered chan struct{} }

func (b blockingStorage) Querier(int64, int64) (storage.Querier, error) {
	return blockingQuerier{brokenQuerier{errors.New("unused")}, b.entered}, nil
}

type blockingQuerier struct {
	brokenQuerier
	entered chan struct{}
}

func (q blockingQuerier) Select(ctx context.Context, _ bool, _ *storage.SelectHints, _ ...*labels.Matcher) storage.SeriesSet {
	q.entered <- struct{}{}
	<-ctx.Done()
	return storage.ErrSeriesSet(ctx.Err())
}
