package api

import (
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// answering serves one fixed answer and keeps the last request.
func answering(t *testing.T, status int, body string) (*Client, *http.Request, *url.Values) {
	t.Helper()
	var last http.Request
	form := url.Values{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseForm(); err != nil {
			t.Error(err)
		}
		last, form = *r, r.Form
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	t.Cleanup(server.Close)
	client, err := NewClient(server.URL+"/", server.Client())
	if err != nil {
		t.Fatal(err)
	}
	return client, &last, &form
}

func TestQueryResults(t *testing.T) {
	f := func(body string, want Result) {
		t.Helper()
		client, request, form := answering(t, 200, body)
		got, err := client.Query(t.Context(), "up", time.UnixMilli(1500))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got, cmp.Comparer(sameFloat)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", body, diff)
		}
		if request.URL.Path != PathQuery || form.Get("query") != "up" || form.Get("time") != "1.500" {
			t.Errorf("request %s %v", request.URL, form)
		}
	}
	f(`{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":"b"},"value":[1435781451.781,"NaN"]}]},"warnings":["w"],"infos":["i"]}`,
		Result{Type: Vector, Vector: []Sample{{Metric: map[string]string{"a": "b"}, Value: Point{1435781451781, math.NaN()}}}, Warnings: []string{"w"}, Infos: []string{"i"}})
	f(`{"status":"success","data":{"resultType":"vector","result":[{"metric":{},"histogram":[1,{"count":"1"}]}]}}`,
		Result{Type: Vector, Vector: []Sample{{Metric: map[string]string{}, Histogram: json.RawMessage(`[1,{"count":"1"}]`)}}})
	f(`{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"+Inf"],[1.005,"-1e-07"]]}]}}`,
		Result{Type: Matrix, Matrix: []Series{{Metric: map[string]string{}, Values: []Point{{1000, math.Inf(1)}, {1005, -1e-7}}}}})
	f(`{"status":"success","data":{"resultType":"scalar","result":[-1.5,"3"]}}`, Result{Type: Scalar, Scalar: Point{-1500, 3}})
	f(`{"status":"success","data":{"resultType":"string","result":[1,"te\"xt"]}}`, Result{Type: String, String: StringPoint{1000, `te"xt`}})
}

func sameFloat(a, b float64) bool { return a == b || a != a && b != b }

func TestAnswersThatAreNone(t *testing.T) {
	f := func(status int, body, want string) {
		t.Helper()
		client, _, _ := answering(t, status, body)
		_, err := client.Query(t.Context(), "up", time.Time{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d %s: got error %v, want %q", status, body, err, want)
		}
	}
	f(400, `{"status":"error","errorType":"bad_data","error":"no such thing"}`, "bad_data: no such thing")
	f(502, "upstream is away", "502 Bad Gateway: upstream is away")
	f(503, "", "503 Service Unavailable")
	f(500, strings.Repeat("x", 1000), "xxx...")
	f(200, "no JSON", "invalid character")
	f(200, `{"data":{"resultType":"tensor","result":[]}}`, `unknown type "tensor"`)
	f(200, `{"data":{"resultType":"vector","result":7}}`, "type vector")
	f(200, `{"data":{"resultType":"scalar","result":[1]}}`, "1 elements")
	f(200, `{"data":{"resultType":"scalar","result":["x","1"]}}`, "want seconds")
	f(200, `{"data":{"resultType":"scalar","result":[1,"x"]}}`, "want a number")
	f(200, `{"data":7}`, "cannot unmarshal")
}

func TestRefusalsCanBeToldApart(t *testing.T) {
	client, _, _ := answering(t, 404, `{"status":"error","errorType":"not_found","error":"no worker"}`)
	_, err := client.Worker(t.Context(), model.WorkerIDFrom([16]byte{1}))
	refused, ok := err.(*Error)
	if !ok || refused.Status != 404 || refused.Type != "not_found" {
		t.Errorf("got %#v", err)
	}
	if err := client.Ready(t.Context()); err == nil {
		t.Error("ready: got no error")
	}
	nobody, err := NewClient("http://127.0.0.1:1", &http.Client{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nobody.Workers(t.Context()); err == nil || !strings.Contains(err.Error(), "http://127.0.0.1:1"+PathFleetWorkers) {
		t.Errorf("unreachable: got %v, want the address in the error", err)
	}
}

func TestBadAddresses(t *testing.T) {
	for _, base := range []string{"", "collector:9090", "ftp://x", "https://", "http://[::1", "/path"} {
		if _, err := NewClient(base, http.DefaultClient); err == nil {
			t.Errorf("%q: got no error", base)
		}
		if _, err := NewControlClient(base, http.DefaultClient); err == nil {
			t.Errorf("%q: got no error", base)
		}
	}
	if _, err := NewClient("https://x", nil); err == nil {
		t.Error("without HTTP client: got no error")
	}
}

func TestLookups(t *testing.T) {
	client, request, form := answering(t, 200, `{"status":"success","data":["a","b"]}`)
	selection := Selection{Match: []string{"up", "down"}, Start: time.Unix(1, 0), End: time.Unix(2, 0), Limit: 3}
	want := url.Values{"match[]": {"up", "down"}, "start": {"1"}, "end": {"2"}, "limit": {"3"}}
	if got, err := client.Labels(t.Context(), selection); err != nil || len(got) != 2 {
		t.Errorf("labels: got %v, %v", got, err)
	}
	if diff := cmp.Diff(want, *form); diff != "" || request.URL.Path != PathLabels {
		t.Errorf("labels form of %s (-want +got):\n%s", request.URL, diff)
	}
	if got, err := client.LabelValues(t.Context(), "a b/c", selection); err != nil || len(got) != 2 {
		t.Errorf("label values: got %v, %v", got, err)
	}
	if got := request.URL.EscapedPath(); got != "/api/v1/label/a%20b%2Fc/values" {
		t.Errorf("label values: asked %s", got)
	}
	client, _, _ = answering(t, 200, `{"status":"success","data":[{"a":"b"}]}`)
	if got, err := client.Series(t.Context(), selection); err != nil || got[0]["a"] != "b" {
		t.Errorf("series: got %v, %v", got, err)
	}
	client, request, form = answering(t, 200, `{"status":"success","data":{"up":[{"type":"gauge","help":"h","unit":""}]}}`)
	if got, err := client.Metadata(t.Context(), "up"); err != nil || got["up"][0].Type != "gauge" || form.Get("metric") != "up" {
		t.Errorf("metadata: got %v, %v", got, err)
	}
	client, request, _ = answering(t, 200, `{"status":"success","data":{"version":"3.15.0","cloudless":"0.1"}}`)
	if got, err := client.BuildInfo(t.Context()); err != nil || got.Cloudless != "0.1" || request.URL.Path != PathBuildInfo {
		t.Errorf("build info: got %v, %v", got, err)
	}
	client, _, form = answering(t, 200, `{"status":"success","data":{"resultType":"matrix","result":[]}}`)
	if _, err := client.QueryRange(t.Context(), "up", Range{Start: time.Unix(1, 0), End: time.Unix(2, 5e8), Step: 1500 * time.Millisecond}); err != nil {
		t.Error(err)
	}
	if diff := cmp.Diff(url.Values{"query": {"up"}, "start": {"1"}, "end": {"2.500"}, "step": {"1.5"}}, *form); diff != "" {
		t.Errorf("range form (-want +got):\n%s", diff)
	}
}

func TestPointsTravel(t *testing.T) {
	f := func(p Point, want string) {
		t.Helper()
		b, err := json.Marshal(p)
		if err != nil || string(b) != want {
			t.Errorf("%v: got %s, %v, want %s", p, b, err, want)
		}
		var back Point
		if err := json.Unmarshal(b, &back); err != nil || back.At != p.At || !sameFloat(back.Value, p.Value) {
			t.Errorf("%s: read %v, %v", b, back, err)
		}
	}
	f(Point{0, 0}, `[0,"0"]`)
	f(Point{1435781451781, 0.1}, `[1435781451.781,"0.1"]`)
	f(Point{-5, math.Inf(-1)}, `[-0.005,"-Inf"]`)
	f(Point{1000, math.NaN()}, `[1,"NaN"]`)
	var p Point
	if err := json.Unmarshal([]byte(`[1.5e9,"1"]`), &p); err != nil || p.At != 1500000000000 {
		t.Errorf("exponent: got %v, %v", p, err)
	}
	b, err := json.Marshal(StringPoint{1500, "x"})
	if err != nil || string(b) != `[1.500,"x"]` {
		t.Errorf("string point: got %s, %v", b, err)
	}
}

func TestMetricsTravel(t *testing.T) {
	metrics := []model.Metric{
		{Name: "a", Help: "h", Type: model.Counter, Labels: model.LabelsOf("x", "1", "b", "2"), Value: 3},
		{Name: "b", Type: model.Gauge, Labels: model.Labels{}, Value: math.Inf(1)},
		{Name: "c", Type: model.Untyped, Labels: model.Labels{}, Value: math.NaN()},
	}
	b, err := json.Marshal(StatMetricsOf(metrics))
	if err != nil {
		t.Fatal(err)
	}
	var rows []StatMetric
	if err := json.Unmarshal(b, &rows); err != nil {
		t.Fatal(err)
	}
	var back []model.Metric
	for _, row := range rows {
		m, err := row.Metric()
		if err != nil {
			t.Fatal(err)
		}
		back = append(back, m)
	}
	if diff := cmp.Diff(metrics, back, cmp.Comparer(sameFloat)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if _, err := (StatMetric{Type: "histogram"}).Metric(); err == nil {
		t.Error("unknown type: got no error")
	}
}

// TestClientsAreLean keeps the query library out of cloudlessctl.
func TestClientsAreLean(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Skipf("go list: %v", err)
	}
	for dep := range strings.Lines(string(out)) {
		if first, _, _ := strings.Cut(dep, "/"); strings.Contains(first, ".") && !strings.Contains(dep, "cloudless-fleet/cloudless/pkg/") {
			t.Errorf("pkg/api imports %s", strings.TrimSpace(dep))
		}
	}
}

// FuzzPoint: any JSON is a point or an error.
func FuzzPoint(f *testing.F) {
	for _, s := range []string{`[1,"2"]`, `[1.5e3,"NaN"]`, `["x"]`, `[,]`, `null`, `[-0.001,"1e400"]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var p Point
		if p.UnmarshalJSON(b) == nil {
			if _, err := p.MarshalJSON(); err != nil {
				t.Error(err)
			}
		}
	})
}
