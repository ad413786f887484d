package metricstest

import (
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestProblems(t *testing.T) {
	f := func(want string, build func(m *model.Metrics)) {
		t.Helper()
		var m model.Metrics
		build(&m)
		if got := strings.Join(problems(m), "\n"); want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f("", func(m *model.Metrics) {
		m.Count("cloudless_a_total", "A.", 1, "b", "c")
		m.Count("cloudless_a_total", "A.", 1, "b", "d")
		m.Gauge("cloudless_b", "B.", model.Absent())
	})
	f("twice", func(m *model.Metrics) { m.Gauge("cloudless_b", "B.", 1); m.Gauge("cloudless_b", "B.", 2) })
	f("begins with", func(m *model.Metrics) { m.Gauge("b", "B.", 1) })
	f("end in _total", func(m *model.Metrics) { m.Count("cloudless_b", "B.", 1) })
	f("end in _total", func(m *model.Metrics) { m.Gauge("cloudless_b_total", "B.", 1) })
	f("no help", func(m *model.Metrics) { m.Gauge("cloudless_b", "", 1) })
	f("differs", func(m *model.Metrics) {
		m.Gauge("cloudless_b", "B.", 1, "x", "1")
		m.Gauge("cloudless_b", "C.", 1, "x", "2")
	})
	f("one after the other", func(m *model.Metrics) {
		m.Gauge("cloudless_a", "A.", 1, "x", "1")
		m.Gauge("cloudless_b", "B.", 1)
		m.Gauge("cloudless_a", "A.", 1, "x", "2")
	})
	f("no part", func(m *model.Metrics) { m.Gauge("cloudless_b", "B.", 1, "not a name", "1") })
}
