package frametest

import (
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func read(t *testing.T) *Recording {
	t.Helper()
	r, err := Node()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTheRecordingIsOfOneHostForTenMinutes(t *testing.T) {
	r := read(t)
	columns := 0
	for _, p := range r.Parts {
		columns += p.Columns()
	}
	if len(r.Parts) != 37 || columns != 620 || len(r.Rows) != 600 {
		t.Errorf("got %d parts, %d columns, %d rows, want 37, 620, 600", len(r.Parts), columns, len(r.Rows))
	}
	cpu, ok := r.Part("cpu")
	if !ok {
		t.Fatal("no part cpu")
	}
	family := r.Parts[cpu].Families[1]
	want := model.LabelsOf("cpu", "0", "mode", "idle")
	if family.Name != "node_cpu_seconds_total" || family.Scale != 2 || family.Type != model.Counter {
		t.Errorf("second family of cpu: got %q, scale %d, %v", family.Name, family.Scale, family.Type)
	}
	if diff := cmp.Diff(want, family.Series[0]); diff != "" {
		t.Errorf("its first series (-want +got):\n%s", diff)
	}
}

func TestThinAndMovingKeepWhatTheySay(t *testing.T) {
	r := read(t)
	if thin := r.Thin(15); len(thin.Rows) != 40 || thin.Every != 15000 || &thin.Rows[1][0] != &r.Rows[15][0] {
		t.Errorf("thin: got %d rows every %d ms", len(thin.Rows), thin.Every)
	}
	moving := r.Moving()
	columns := 0
	for _, p := range moving.Parts {
		columns += p.Columns()
	}
	if columns == 0 || columns >= 620 || columns != len(moving.Rows[0]) {
		t.Errorf("moving: got %d columns and rows of %d", columns, len(moving.Rows[0]))
	}
	for i := range moving.Rows[0] {
		moves := false
		for _, row := range moving.Rows {
			moves = moves || math.Float64bits(row[i]) != math.Float64bits(moving.Rows[0][i])
		}
		if !moves {
			t.Errorf("moving: column %d does not move", i)
		}
	}
}

func TestCountersOfAFleetGoOnWhereTheRecordingEnds(t *testing.T) {
	r := read(t)
	f := NewFleet(r)
	if len(f.counters) < 80 {
		t.Errorf("got %d counters", len(f.counters))
	}
	h := f.Host(7)
	before := make([]float64, len(r.Rows[0]))
	for n := range 2*len(r.Rows) + 1 {
		_, row := h.Next()
		for _, c := range f.counters {
			if n > 0 && row[c.column] < before[c.column] {
				t.Fatalf("row %d: counter in column %d falls from %v to %v", n, c.column, before[c.column], row[c.column])
			}
		}
		copy(before, row)
	}
}

func TestHostsDifferAndAreTheSameEachTime(t *testing.T) {
	f := NewFleet(read(t))
	atA, a := f.Host(1).Next()
	atB, b := f.Host(1).Next()
	_, c := f.Host(2).Next()
	if atA != atB || !cmp.Equal(a, b) {
		t.Error("host 1 differs from itself")
	}
	if cmp.Equal(a, c) {
		t.Error("hosts 1 and 2 are the same")
	}
}

func TestSeriesOfEveryForm(t *testing.T) {
	f := func(text, name string, want model.Labels) {
		t.Helper()
		got, labels, err := series(text)
		if err != nil || got != name || !cmp.Equal(want, labels) {
			t.Errorf("%s: got %q %v %v, want %q %v", text, got, labels, err, name, want)
		}
	}
	f(`up`, "up", nil)
	f(`m{a="b"}`, "m", model.LabelsOf("a", "b"))
	f(`m{a="x,y",b="",c="\"\\\n}"}`, "m", model.LabelsOf("a", "x,y", "b", "", "c", "\"\\\n}"))
	for _, text := range []string{`m{a}`, `m{a="b`, `m{`} {
		if _, _, err := series(text); err == nil {
			t.Errorf("%s: no error", text)
		}
	}
}
