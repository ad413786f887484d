package store

import (
	"errors"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestOwnMetricsTakeTheSameDoor(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	w, err := s.Local(Source{Worker: workerID(7), Instance: "collector", Job: "cloudless"})
	if err != nil {
		t.Fatal(err)
	}
	metric := func(name, dev string, v float64) model.Metric {
		return model.Metric{Name: name, Help: "h", Type: model.Counter, Labels: model.LabelsOf("dev", dev), Value: v}
	}
	write := func(second int, metrics ...model.Metric) {
		t.Helper()
		if err := w.Write(after(second), metrics); err != nil {
			t.Fatal(err)
		}
	}
	write(0)
	write(1, metric("x", "a", 1), metric("y", "a", 2), metric("x", "b", 3)) // names need not be together
	write(2, metric("x", "b", 4), metric("x", "a", 5), metric("y", "a", 6)) // nor in order
	write(3, metric("x", "a", 7), metric("y", "a", 8))                      // x b ends
	write(4, metric("x", "a", 9), metric("y", "a", 10), metric("z", "a", 11))
	wantSeries(t, s, "x", "a", point{At: 1, Value: 1}, point{At: 2, Value: 5}, point{At: 3, Value: 7}, point{At: 4, Value: 9})
	wantSeries(t, s, "x", "b", point{At: 1, Value: 3}, point{At: 2, Value: 4}, point{At: 3, Ended: true})
	wantSeries(t, s, "y", "a", point{At: 1, Value: 2}, point{At: 2, Value: 6}, point{At: 3, Value: 8}, point{At: 4, Value: 10})
	wantSeries(t, s, "z", "a", point{At: 4, Value: 11})
	for text := range stored(t, s, named("z")) {
		if want := `{__name__="z", dev="a", instance="collector", job="cloudless"}`; text != want {
			t.Errorf("labels: got %s, want %s", text, want)
		}
	}
	var names []string
	for _, f := range s.Metadata("") {
		names = append(names, f.Name)
	}
	wantDiff(t, "metadata", []string{"x", "y", "z"}, names)

	if err := w.Write(after(5), []model.Metric{metric("x", "a", 1), metric("x", "a", 1)}); !errors.Is(err, frame.ErrInvalid) {
		t.Errorf("a series twice: got %v", err)
	}
	if err := w.Write(after(5), []model.Metric{{Name: "no name"}}); !errors.Is(err, frame.ErrInvalid) {
		t.Errorf("bad name: got %v", err)
	}
	write(6, metric("x", "a", 12))
	s.free.Store(false)
	if err := w.Write(after(7), []model.Metric{metric("x", "a", 13)}); err == nil {
		t.Error("write without disk space: got no error")
	}
	s.free.Store(true)
	write(8, metric("x", "a", 14)) // it recovers by itself
	points := seriesOfDevice(t, stored(t, s, named("x")), "a")
	if got := points[len(points)-2:]; got[0].At != 6 || got[1].Value != 14 {
		t.Errorf("after the refusal: got %+v", got)
	}
	for range 2 {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := w.Write(after(9), nil); err == nil {
		t.Error("write to a closed writer: got no error")
	}
}
