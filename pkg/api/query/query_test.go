package query

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// wantError asks and compares status and kind.
func wantError(t *testing.T, base, line string, kind reply.Kind) {
	t.Helper()
	status, _, body := ask(t, base, line)
	if want := `"errorType":"` + string(kind) + `"`; status != kind.Status() || !strings.Contains(body, want) {
		t.Errorf("%s: got %d %s, want %d with %s", line, status, body, kind.Status(), want)
	}
}

func TestStorageErrorsHavePrometheusKinds(t *testing.T) {
	for _, opens := range []bool{false, true} {
		server, _ := testServer(t, DefaultConfig(), testDeps(brokenStorage{errors.New("disk on fire"), opens}))
		for _, line := range []string{
			"GET /api/v1/query?query=up", "GET /api/v1/query_range?query=up&start=0&end=10&step=1",
			"GET /api/v1/labels", "GET /api/v1/label/a/values", "GET /api/v1/series?match[]=up",
		} {
			wantError(t, server.URL, line, reply.Execution)
		}
	}
}

func TestQueriesAreLimited(t *testing.T) {
	config := DefaultConfig()
	config.MaxSamples = 1000
	config.MaxPoints, config.MaxSeries = 100, 3
	server, _ := testServer(t, config, testDeps(testStorage(t)))
	wantError(t, server.URL, "GET /api/v1/query?query="+url.QueryEscape("sum_over_time(vector(1)[2h:1s])"), reply.Execution)
	wantError(t, server.URL, "GET /api/v1/query_range?query=1&start=0&end=101&step=1", reply.BadData)
	for _, line := range []string{"GET /api/v1/labels", "GET /api/v1/series?match[]=odd", "GET /api/v1/label/__name__/values?limit=9"} {
		if _, _, body := ask(t, server.URL, line); strings.Count(body, ",") > 20 || !strings.Contains(body, truncated) {
			t.Errorf("%s: got %s, want three entries and a warning", line, body)
		}
	}
}

func TestQueriesWaitForAPlaceAndTimeOut(t *testing.T) {
	config := DefaultConfig()
	config.MaxConcurrent = 1
	storage := blockingStorage{entered: make(chan struct{}, 1)}
	server, a := testServer(t, config, testDeps(storage))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/api/v1/query?query=up", nil)
		if err != nil {
			t.Error(err)
			return
		}
		if response, err := http.DefaultClient.Do(request); err == nil {
			response.Body.Close()
		}
	}()
	<-storage.entered
	if got := a.Stats().Running; got != 1 {
		t.Errorf("running: got %d, want 1", got)
	}
	// The only place is taken: the next one times out while it waits.
	wantError(t, server.URL, "GET /api/v1/query?query=up&timeout=20ms", reply.Timeout)
	cancel()
	<-done
	// The first has gone, and now the storage is too slow.
	wantError(t, server.URL, "GET /api/v1/query?query=up&timeout=20ms", reply.Timeout)
}

func TestACanceledQueryIsNoServerError(t *testing.T) {
	storage := blockingStorage{entered: make(chan struct{}, 1)}
	a, err := New(DefaultConfig(), testDeps(storage))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	a.Register(mux, func(_ string, next http.Handler) http.Handler { return next })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-storage.entered
		cancel()
	}()
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/api/v1/query?query=up", nil))
	if w.Code != 499 || !strings.Contains(w.Body.String(), `"errorType":"canceled"`) {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

func TestNotReady(t *testing.T) {
	deps := testDeps(testStorage(t))
	deps.Ready = func() error { return errors.New("log is being replayed") }
	server, _ := testServer(t, DefaultConfig(), deps)
	wantError(t, server.URL, "GET /api/v1/query?query=1", reply.Unavailable)
	if status, _, body := ask(t, server.URL, "GET /-/ready"); status != http.StatusServiceUnavailable || !strings.Contains(body, "replayed") {
		t.Errorf("ready: got %d %s", status, body)
	}
	if status, _, _ := ask(t, server.URL, "GET /-/healthy"); status != http.StatusOK {
		t.Errorf("healthy: got %d", status)
	}
}

func TestALongBodyIsTooLarge(t *testing.T) {
	a, err := New(DefaultConfig(), testDeps(testStorage(t)))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	a.Register(mux, func(_ string, next http.Handler) http.Handler { return http.MaxBytesHandler(next, 100) })
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "/api/v1/query", strings.NewReader("query="+strings.Repeat("1", 200)))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	mux.ServeHTTP(w, r)
	if w.Code != http.StatusRequestEntityTooLarge {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
}

// TestLongAnswersAreWhole sends more than one chunk.
func TestLongAnswersAreWhole(t *testing.T) {
	deps := testDeps(testStorage(t))
	families := make([]model.Family, 5000)
	for i := range families {
		families[i] = model.Family{Name: "m" + strings.Repeat("x", i%50) + string(rune('a'+i%26)), Help: strings.Repeat("h", 40)}
	}
	deps.Metadata = func(string) []model.Family { return families }
	server, _ := testServer(t, DefaultConfig(), deps)
	client, err := api.NewClient(server.URL, server.Client())
	if err != nil {
		t.Fatal(err)
	}
	got, err := client.Metadata(t.Context(), "")
	if err != nil || len(got) == 0 {
		t.Fatalf("got %d families, error %v", len(got), err)
	}
	result, err := client.QueryRange(t.Context(), "vector(1)", api.Range{Start: time.Unix(0, 0), End: time.Unix(10_000, 0), Step: time.Second})
	if err != nil || len(result.Matrix) != 1 || len(result.Matrix[0].Values) != 10_001 {
		t.Errorf("long range: got %d series, error %v", len(result.Matrix), err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	f := func(name string, spoil func(*Config)) {
		t.Helper()
		bad := DefaultConfig()
		spoil(&bad)
		if _, err := New(bad, testDeps(nil)); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v, want an error about %s", err, name)
		}
	}
	f("timeout", func(c *Config) { c.Timeout = 0 })
	f("max_samples", func(c *Config) { c.MaxSamples = 0 })
	f("max_concurrent", func(c *Config) { c.MaxConcurrent = 0 })
	f("max_points", func(c *Config) { c.MaxPoints = 0 })
	f("max_series", func(c *Config) { c.MaxSeries = 0 })
	f("lookback", func(c *Config) { c.Lookback = 0 })
}

func TestVersionOfTheLibraryIsAReleaseOfPrometheus(t *testing.T) {
	f := func(module, want string) {
		t.Helper()
		if got := releaseOf(module); got != want {
			t.Errorf("%s: got %s, want %s", module, got, want)
		}
	}
	f("v0.315.0", "3.15.0")
	f("v0.305.2", "3.5.2")
	f("v0.300.1", "3.0.1")
	f("v1.2.3", assumedVersion)
	f("(devel)", assumedVersion)
}
