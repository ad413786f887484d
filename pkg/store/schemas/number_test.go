package schemas

import (
	"testing"

	"github.com/prometheus/prometheus/model/labels"
)

func TestSourcesAreFoundByTheirNumbers(t *testing.T) {
	d := New(DefaultConfig())
	_, s, err := d.AddSource(nil, workerID(1), labels.FromStrings("instance", "a"))
	if err != nil {
		t.Fatal(err)
	}
	if got := d.Source(s.Number()); got != s {
		t.Errorf("number %d: got %v", s.Number(), got)
	}
	if got := d.Source(s.Number() + 1); got != nil {
		t.Errorf("a number that was not given out: got %v", got)
	}
}
