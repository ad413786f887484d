package schemas

import (
	"errors"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestSpansOfDataThatIsTakenOver(t *testing.T) {
	const hour = 3_600_000
	b := newBook(t)
	s := b.source(1, "instance", "a")
	id := b.schema(b.part(simplePart("cpu", "x", nil)))
	b.use(s, 1, id, 100*hour)
	add := func(stream model.StreamID, from, to model.Millis, records int) {
		t.Helper()
		record, err := b.AddSpan(nil, s, stream, id, from, to)
		if err != nil {
			t.Fatal(err)
		}
		if (len(record) > 0) != (records > 0) {
			t.Errorf("stream %d, %d to %d: %d bytes of a record", stream, from, to, len(record))
		}
		if len(record) > 0 {
			b.log = append(b.log, record)
		}
	}
	add(1, 10*hour, 50*hour, 1) // longer than the pause: one span all the same
	add(1, 10*hour, 50*hour, 0)
	add(1, 20*hour, 30*hour, 0)
	add(1, 99*hour, 101*hour, 1) // goes into the one that is there
	add(2, 5*hour, 5*hour, 1)
	check := func(d *Dictionary) {
		t.Helper()
		if n := d.Stats().Spans; n != 3 {
			t.Errorf("%d spans", n)
		}
		own := d.Source(s.Number())
		if at, _ := d.Until(own, 1); at != 101*hour {
			t.Errorf("stream 1 ends at %d", at)
		}
	}
	check(b.Dictionary)
	check(reloaded(t, b.log))
	if _, err := b.AddSpan(nil, s, 1, frame.SchemaID{9}, 1, 2); !errors.Is(err, ErrUnknownSchema) {
		t.Errorf("of an unknown schema: %v", err)
	}
	if _, err := b.AddSpan(nil, s, 1, id, 2, 1); !errors.Is(err, ErrTime) {
		t.Errorf("of no time: %v", err)
	}
}
