package sampler

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestPrometheusText(t *testing.T) {
	family := func(name, help string, kind model.MetricType, series ...model.Labels) model.Family {
		return model.Family{Name: name, Help: help, Type: kind, Series: series}
	}
	s := Snapshot{
		Parts: []model.Part{
			{Families: []model.Family{
				family("b", "Help \\ of\nb.", model.Untyped, model.LabelsOf("x", "2", "a", "\"\\\n"), model.LabelsOf("x", "1")),
				family("gone", "Not read.", model.Gauge, nil),
			}},
			{Families: []model.Family{
				family("a_total", "A.", model.Counter, nil),
				family("b", "Ignored.", model.Gauge, model.LabelsOf("x", "3")),
				family("c", "", model.Gauge, model.LabelsOf("n", "1"), model.LabelsOf("n", "2"), model.LabelsOf("n", "3")),
			}},
		},
		Row: []float64{1.5, math.NaN(), model.Absent(), 1e21, -0.25, math.Inf(1), math.Inf(-1), 123456789},
	}
	want := `# HELP a_total A.
# TYPE a_total counter
a_total 1e+21
# HELP b Help \\ of\nb.
# TYPE b untyped
b{a="\"\\\n",x="2"} 1.5
b{x="1"} NaN
b{x="3"} -0.25
# HELP c 
# TYPE c gauge
c{n="1"} +Inf
c{n="2"} -Inf
c{n="3"} 1.23456789e+08
`
	var got strings.Builder
	if err := s.WritePrometheus(&got); err != nil {
		t.Fatal(err)
	}
	if got.String() != want {
		t.Errorf("got\n%s\nwant\n%s", got.String(), want)
	}
	if err := s.WritePrometheus(brokenWriter{}); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want the writer's error", err)
	}
}

var errBroken = errors.New("broken pipe")

type brokenWriter struct{}

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }
