package frame

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// smallPart has columns of scale 0 and 2, labels and none.
func smallPart() model.Part {
	return model.Part{Collector: "cpu", Families: []model.Family{
		{Name: "node_cpu_seconds_total", Help: "Seconds.", Type: model.Counter, Scale: 2, Series: []model.Labels{
			model.LabelsOf("cpu", "0", "mode", "idle"),
			model.LabelsOf("cpu", "0", "mode", "user"),
		}},
		{Name: "node_load1", Type: model.Gauge, Series: []model.Labels{nil}},
	}}
}

// widePart has one family with the given number of columns.
func widePart(collector string, columns int, scale uint8) model.Part {
	family := model.Family{Name: collector + "_value", Type: model.Gauge, Scale: scale}
	for i := range columns {
		family.Series = append(family.Series, model.LabelsOf("n", string(rune('a'+i%26))+string(rune('a'+i/26))))
	}
	return model.Part{Collector: collector, Families: []model.Family{family}}
}

func layoutOf(tb testing.TB, parts ...model.Part) *Layout {
	tb.Helper()
	l, err := NewLayout(parts)
	if err != nil {
		tb.Fatal(err)
	}
	return l
}

func sameBits(a, b []float64) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if math.Float64bits(a[i]) != math.Float64bits(b[i]) {
			return false
		}
	}
	return true
}

func allAbsent(row []float64) bool {
	for _, v := range row {
		if !model.IsAbsent(v) {
			return false
		}
	}
	return true
}

func diffText(want, got any) string { return cmp.Diff(want, got) }
