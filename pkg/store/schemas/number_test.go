package schemas

import (
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/model"
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

func TestTheLastFrameOfAStreamIsKnown(t *testing.T) {
	b := newBook(t)
	_, s, err := b.AddSource(nil, workerID(1), labels.FromStrings("instance", "a"))
	if err != nil {
		t.Fatal(err)
	}
	if _, known := b.Until(s, 1); known {
		t.Error("a stream without frames has one")
	}
	for _, name := range []string{"x", "y"} {
		_, id, err := b.AddSchema(nil, schemaOf(b.part(simplePart(name, name, nil))))
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range []model.Millis{7, 5} {
			if name == "y" {
				at -= 4
			}
			if _, _, err := b.Use(nil, s, 1, id, at); err != nil {
				t.Fatal(err)
			}
		}
	}
	if at, known := b.Until(s, 1); !known || at != 7 {
		t.Errorf("got %d, %t, want 7", at, known)
	}
	if _, known := b.Until(s, 2); known {
		t.Error("another stream has a frame")
	}
}
