package middleware

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// values are metrics by name and label values.
func values(m model.Metrics) map[string]float64 {
	found := map[string]float64{}
	for _, one := range m {
		key := one.Name
		for _, label := range one.Labels {
			key += " " + label.Name + "=" + label.Value
		}
		found[key] = one.Value
	}
	return found
}

func TestMetricsOfAHandler(t *testing.T) {
	stats := Stats{InFlight: 2, Panics: 1, Handlers: []HandlerStats{{Name: "query", Bytes: 70, Duration: 1500 * time.Millisecond,
		Codes: []CodeCount{{200, 5}, {302, 1}, {404, 2}, {599, 3}}}}}
	got := values(stats.Metrics())
	want := map[string]float64{
		"cloudless_http_requests_in_flight":                                  2,
		"cloudless_http_panics_total":                                        1,
		"cloudless_http_request_seconds_total handler=query":                 1.5,
		"cloudless_http_response_bytes_total handler=query":                  70,
		"cloudless_http_requests_total code=200 handler=query":               5,
		"cloudless_http_requests_total code=404 handler=query":               2,
		"cloudless_http_requests_total code=" + otherCode + " handler=query": 4,
	}
	for _, code := range []string{"400", "401", "403", "409", "413", "421", "422", "429", "499", "500", "503"} {
		want["cloudless_http_requests_total code="+code+" handler=query"] = 0
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestSeriesDoNotDependOnWhatWasAnswered: a new series would be a new schema.
func TestSeriesDoNotDependOnWhatWasAnswered(t *testing.T) {
	names := func(codes ...CodeCount) (names []string) {
		for name := range values(Stats{Handlers: []HandlerStats{{Name: "query", Codes: codes}}}.Metrics()) {
			names = append(names, name)
		}
		slices.Sort(names)
		return names
	}
	if diff := cmp.Diff(names(), names(CodeCount{200, 1}, CodeCount{418, 1})); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

func TestEveryKindOfAnswerHasItsSeries(t *testing.T) {
	kinds := []reply.Kind{reply.BadData, reply.Execution, reply.Canceled, reply.Timeout, reply.Internal, reply.Unavailable,
		reply.NotFound, reply.Unauthorized, reply.Forbidden, reply.Conflict, reply.Misdirected, reply.TooLarge, reply.Busy}
	for _, kind := range kinds {
		if !slices.Contains(exportedCodes(), kind.Status()) {
			t.Errorf("%s: status %d is not exported", kind, kind.Status())
		}
	}
}
