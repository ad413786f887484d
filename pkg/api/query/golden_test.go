package query

import (
	"flag"
	"fmt"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// goldenLines are the requests of testdata/answers.golden. The answers there are
// those of Prometheus' own server, but for the endpoints and texts that
// docs/api.md names as ours.
func goldenLines() []string {
	q := url.QueryEscape
	at := fmt.Sprintf("&time=%d", epoch+240)
	span := fmt.Sprintf("&start=%d&end=%d&step=60", epoch, epoch+240)
	instant := func(expr, more string) string { return "GET /api/v1/query?query=" + q(expr) + more }
	ranged := func(expr, more string) string { return "GET /api/v1/query_range?query=" + q(expr) + more }
	return []string{
		// every kind of result and value
		instant("requests_total", at),
		instant("sort(requests_total)", ""),
		instant("odd", at),
		instant("texts", at),
		instant("sizes", at),
		instant(`{"dotted.name"}`, at),
		instant("thirds", fmt.Sprintf("&time=%d.005", epoch+240)),
		instant("thirds[2m]", fmt.Sprintf("&time=%d.5", epoch+240)),
		instant("sizes[1m]", at),
		instant("1e30", at),
		instant("1/3", fmt.Sprintf("&time=%d.25", epoch)),
		instant("NaN", at),
		instant(`"text <&> \u2028"`, at),
		instant("nothing_at_all", at),
		instant("rate(thirds[5m])", at), // with an info
		instant("requests_total", "&time=2026-05-04T12:04:00Z"),
		instant("requests_total", "&time=2026-05-04T14:04:00%2B02:00"),
		instant("requests_total", "&time=-1.5"),
		"POST /api/v1/query query=" + q("sum(requests_total)") + at,
		ranged("requests_total", span),
		ranged("sizes", span),
		ranged("sum by (instance) (rate(requests_total[2m]))", span),
		ranged("42", fmt.Sprintf("&start=%d.5&end=%d&step=500ms", epoch, epoch+2)),
		ranged("nothing_at_all", span),
		"POST /api/v1/query_range query=thirds" + span,
		// limits
		instant("sort(requests_total)", at+"&limit=1"),
		instant("sort(requests_total)", at+"&limit=2"),
		ranged("requests_total", span+"&limit=1"),
		instant("requests_total", at+"&timeout=1h30m&lookback_delta=1m"),
		instant("requests_total", fmt.Sprintf("&time=%d&lookback_delta=1m", epoch+400)),
		// labels, values, series
		"GET /api/v1/labels",
		"GET /api/v1/labels?limit=2",
		"GET /api/v1/labels?match[]=odd&match[]=thirds",
		"POST /api/v1/labels match[]=odd",
		"GET /api/v1/labels?start=1&end=2",
		"GET /api/v1/label/instance/values",
		"GET /api/v1/label/instance/values?limit=1",
		"GET /api/v1/label/instance/values?match[]=thirds",
		"GET /api/v1/label/__name__/values",
		"GET /api/v1/label/text/values",
		"GET /api/v1/label/label.dot/values",
		"GET /api/v1/label/U__label_2e_dot/values",
		"GET /api/v1/label/nothing/values",
		"GET /api/v1/series?match[]=requests_total",
		"GET /api/v1/series?match[]=requests_total&limit=1",
		"GET /api/v1/series?match[]=requests_total&match[]=" + q(`{instance="a"}`),
		"POST /api/v1/series match[]=texts",
		"GET /api/v1/series?match[]=nothing",
		// bad parameters
		instant("", at),
		instant("sum(", at),
		instant("requests_total", "&time=noon"),
		instant("requests_total", at+"&timeout=long"),
		instant("requests_total", at+"&limit=-1"),
		instant("requests_total", at+"&limit=many"),
		instant("requests_total", at+"&lookback_delta=x"),
		ranged("requests_total", ""),
		ranged("requests_total", "&start=1"),
		ranged("requests_total", "&start=2&end=1&step=1"),
		ranged("requests_total", "&start=1&end=2"),
		ranged("requests_total", "&start=1&end=2&step=0"),
		ranged("requests_total", "&start=1&end=2&step=-5"),
		ranged("requests_total", "&start=1&end=2&step=1e99"),
		ranged("requests_total", "&start=0&end=11001&step=1"),
		ranged("requests_total[5m]", span),
		"GET /api/v1/labels?match[]=%7B",
		"GET /api/v1/labels?start=noon",
		"GET /api/v1/labels?match[]=" + q(`{a=""}`),
		"GET /api/v1/series",
		"GET /api/v1/series?match[]=%7B",
		// execution errors
		instant("requests_total + on(job) requests_total", at),
		instant("label_replace(requests_total, \"a b\", \"$1\", \"x\", \"(\")", at),
		// statistics
		instant("requests_total", at+"&stats=bogus"),
	}
}

// ownLines are requests whose answers are not, or not exactly, Prometheus'.
func ownLines() []string {
	return []string{
		"GET /api/v1/metadata",
		"GET /api/v1/metadata?metric=requests_total",
		"GET /api/v1/metadata?metric=requests_total&limit_per_metric=1",
		"GET /api/v1/metadata?metric=nothing",
		"GET /api/v1/metadata?limit=1",
		"GET /api/v1/metadata?limit=0",
		"GET /api/v1/metadata?limit=x",
		"GET /api/v1/status/buildinfo",
		"GET /api/v1/nothing",
		"GET /api/v1/query?query=1;2",
		"GET /api/v1/query_range?query=1&start=1&end=2&step=0.0001",
		"GET /-/ready",
		"GET /-/healthy",
	}
}

var update = flag.Bool("update", false, "write testdata/answers.golden anew")

func TestGoldenAnswers(t *testing.T) {
	server, _ := testServer(t, DefaultConfig(), testDeps(testStorage(t)))
	var got strings.Builder
	for _, line := range append(goldenLines(), ownLines()...) {
		status, contentType, body := ask(t, server.URL, line)
		if strings.Contains(line, "stats=") {
			body = withoutTimings(body)
		}
		fmt.Fprintf(&got, "%s\n%d %s\n%s\n\n", line, status, contentType, strings.TrimSuffix(body, "\n"))
	}
	const path = "testdata/answers.golden"
	if *update {
		if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n\n"), strings.Split(got.String(), "\n\n")); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
}

// withoutTimings cuts the figures that differ from run to run.
func withoutTimings(body string) string {
	before, rest, found := strings.Cut(body, `"timings":{`)
	if !found {
		return body
	}
	_, after, _ := strings.Cut(rest, "}")
	return before + `"timings":{}` + strings.TrimPrefix(after, "")
}
