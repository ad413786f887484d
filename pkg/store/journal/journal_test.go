package journal_test

import (
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/store/journal"
)

func TestSmoke(t *testing.T) {
	j, _, err := journal.Open(t.TempDir(), journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	j.Session(1, journal.Session{Source: 3})
	if first, err := j.Records(1, []byte("a"), []byte("b")); first != 2 || err != nil {
		t.Fatal(first, err)
	}
	j.Coverage(journal.Coverage{Intervals: []journal.Interval{{1, 1}, {3, 9}}})
	n := 0
	j.Replay(func(index uint64, e journal.Entry) error { n++; t.Logf("%d %+v", index, e); return nil }, func(d *durable.Damage) { t.Error(d) })
	if n != 4 {
		t.Error(n)
	}
	v := j.Viewer()
	defer v.Close()
	if s, raw, err := v.Record(3); s != 1 || string(raw) != "b" || err != nil {
		t.Error(s, raw, err)
	}
}
