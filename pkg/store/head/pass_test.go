package head

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/journal"
	"github.com/cloudless-fleet/cloudless/pkg/store/query"
)

// seal writes down what a pass would put into a volume, by lane.
func (w *world) seal(p *Pass) map[string][]line {
	w.t.Helper()
	volume := map[string][]line{}
	err := p.Lanes(func(l *SealLane) error {
		name := fmt.Sprintf("%d/%d", l.Source.Worker()[1], l.Stream)
		return l.Rows(func(r SealRow) error {
			text := fmt.Sprintf("%g:", float64(r.At-after(0))/1000)
			for _, v := range r.Values {
				text += " " + number(v)
			}
			if r.End {
				text += " end"
			}
			if r.At < l.First || r.At > l.Last {
				w.t.Errorf("row at %d outside of %d to %d", r.At, l.First, l.Last)
			}
			volume[name] = append(volume[name], text)
			return nil
		}, nil)
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return volume
}

func (w *world) begin(volume uint64) *Pass {
	w.t.Helper()
	p, err := w.head.BeginPass(volume)
	if err != nil {
		w.t.Fatal(err)
	}
	return p
}

func wantVolume(t *testing.T, got map[string][]line, want map[string][]line) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("volume (-want +got):\n%s", diff)
	}
}

func TestAPassTakesWhatIsOpen(t *testing.T) {
	w := newWorld(t)
	s := w.open(testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a", "b"))
	sp.frame(1, after(0), 1, 2)
	sp.frame(1, after(1), 3, absent)
	send(t, s, sp.drain()...)
	p := w.begin(1)
	if _, err := w.head.BeginPass(2); !errors.Is(err, ErrPassing) {
		t.Errorf("a second pass: got %v", err)
	}
	sp.frame(1, after(2), 4, absent) // the session goes on
	sp.frame(1, after(3), 5, 6)
	send(t, s, sp.drain()...)
	all := []line{"0: 1 2", "1: 3 -", "2: 4 -", "3: 5 6"}
	w.wantLines(1, 1, all...)
	wantVolume(t, w.seal(p), map[string][]line{"1/1": all[:2]})
	w.wantLines(1, 1, all...)
	p.Done(true)
	p.Done(false)
	w.wantLines(1, 1, all[2:]...)
	w.journal.dropThrough(p.From() - 1)
	w.wantLines(1, 1, all[2:]...)
	if rows := w.head.Live(workerID(1)); len(rows) != 1 || rows[0].Values[1] != 6 {
		t.Errorf("newest: got %+v", rows)
	}

	has := func(volume uint64) bool { return volume == 1 }
	if got := w.restart(-1, has); got.Lost != 0 || got.Frames != 2 {
		t.Errorf("replay: got %+v", got)
	}
	w.wantLines(1, 1, all[2:]...)
	if got := w.open(testSource(1, 1)).Resume(); got != sp.seq {
		t.Errorf("resume: got %d, want %d", got, sp.seq)
	}
	p = w.begin(2)
	wantVolume(t, w.seal(p), map[string][]line{"1/1": all[2:]})
	p.Done(true)
	w.wantLines(1, 1)
}

func TestAPassThatFailsChangesNothing(t *testing.T) {
	w := newWorld(t)
	s := w.open(testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	for i := range 3 {
		sp.frame(1, after(i), float64(i))
	}
	send(t, s, sp.drain()...)
	p := w.begin(1)
	sp.frame(1, after(3), 3)
	send(t, s, sp.drain()...)
	p.Done(false)
	all := []line{"0: 0", "1: 1", "2: 2", "3: 3"}
	w.wantLines(1, 1, all...)
	w.restart(-1, nil) // there is no such volume
	w.wantLines(1, 1, all...)
	p = w.begin(1)
	wantVolume(t, w.seal(p), map[string][]line{"1/1": all})
	p.Done(true)

	s = w.open(testSource(1, 2))
	sp = newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	sp.frame(1, after(4), 4)
	send(t, s, sp.drain()...)
	const needed = 4           // session, two boots, sealed
	for left := range needed { // whatever it is that the journal does not take
		w.head.deps.Journal = &failing{Journal: w.journal, left: left}
		if _, err := w.head.BeginPass(2); err == nil {
			t.Fatalf("after %d records: no error", left)
		}
		w.wantLines(1, 1, "4: 4")
	}
	w.head.deps.Journal = &failing{Journal: w.journal, left: needed}
	w.begin(2)
}

// failing is a journal that takes so many records of a pass, and no more.
type failing struct {
	Journal
	left int
}

func (f *failing) count(index uint64, err error) (uint64, error) {
	if f.left == 0 {
		return 0, errTest
	}
	f.left--
	return index, err
}

func (f *failing) Session(number uint64, s journal.Session) (uint64, error) {
	return f.count(f.Journal.Session(number, s))
}

func (f *failing) Coverage(c journal.Coverage) (uint64, error) { return f.count(f.Journal.Coverage(c)) }

func (f *failing) Sealed(volume uint64, source uint32, stream model.StreamID) (uint64, error) {
	return f.count(f.Journal.Sealed(volume, source, stream))
}

func TestACrashBetweenVolumeAndJournal(t *testing.T) {
	// The volume is there, the journal still has all of it.
	w := newWorld(t)
	s := w.open(testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	sp.frame(1, after(0), 0)
	sp.frame(1, after(1), 1)
	send(t, s, sp.drain()...)
	w.begin(1)
	sp.frame(1, after(2), 2)
	send(t, s, sp.drain()...)
	w.restart(-1, func(uint64) bool { return true })
	w.wantLines(1, 1, "2: 2")
	w.restart(-1, func(uint64) bool { return false })
	w.wantLines(1, 1, "0: 0", "1: 1", "2: 2")
}

func TestNewestRowsOutliveTheJournal(t *testing.T) {
	w := newWorld(t)
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a", "b"))
	sp.schema(2, gauge("h", "a"))
	sp.frame(1, after(0), 1, absent)
	sp.frame(2, after(0), 2)
	s := w.open(testSource(1, 1))
	send(t, s, sp.drain()...)
	s.Close()
	check := func(life string) {
		t.Helper()
		rows := w.head.Live(workerID(1))
		if len(rows) != 2 || rows[0].Values[0] != 1 || !model.IsAbsent(rows[0].Values[1]) || rows[1].Values[0] != 2 {
			t.Errorf("%s: got %+v", life, rows)
		}
		if n, ok := w.head.Newest(workerID(1)); !ok || n.At != after(0) {
			t.Errorf("%s: got %+v", life, n)
		}
	}
	has := func(uint64) bool { return true }
	for volume := range uint64(3) {
		p := w.begin(volume)
		p.Done(true)
		check("after a pass")
		w.journal.dropThrough(p.From() - 1)
		check("and the journal gone")
		w.restart(-1, has)
		check("and a restart")
	}
	w.wantLines(1, 1)
	if err := w.head.MarkStale(workerID(1), after(1)); err != nil {
		t.Fatal(err)
	}
	w.wantLines(1, 1, "1: end")
	w.wantLines(1, 2, "1: end")
}

func TestAPassMergesWhatOverlaps(t *testing.T) {
	w := newWorld(t)
	live, back := newSpooler(t), newSpooler(t)
	live.keyEvery, back.keyEvery = 3, 4
	live.schema(1, gauge("g", "a"))
	back.schema(1, gauge("g", "a", "b"))
	for i := range 8 {
		live.frame(1, after(2*i), float64(i))
		back.frame(1, after(3*i-5), 100+float64(i), absent)
	}
	one := w.open(testSource(1, 1))
	source := testSource(1, 2)
	source.Backfill = true
	two := w.open(source)
	a, b := live.drain(), back.drain()
	for i := range a {
		send(t, one, a[i])
		send(t, two, b[i])
	}
	if err := w.head.MarkStale(workerID(1), after(100)); err != nil {
		t.Fatal(err)
	}
	want := []line{"-5: 100 -", "-2: 101 -", "0: 0", "1: 102 -", "2: 1", "4: 2", "6: 3", "7: 104 -", "8: 4", "10: 5", "12: 6", "13: 106 -", "14: 7", "16: 107 -", "100: end"}
	w.wantLines(1, 1, want...)
	wantVolume(t, w.seal(w.begin(1)), map[string][]line{"1/1": want})
	w.wantLines(1, 1, want...)
}

func TestDamageInAPassCostsItsGroup(t *testing.T) {
	w := newWorld(t)
	s := w.open(testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	for i := range 30 {
		sp.frame(1, after(i), float64(i))
	}
	send(t, s, sp.drain()...)
	w.journal.bad = map[uint64]bool{uint64(w.journal.len() - 15): true} // the fifth row of the second group
	p := w.begin(1)
	rows, damaged := 0, 0
	err := p.Lanes(func(l *SealLane) error {
		if err := l.Rows(func(SealRow) error { return nil }, nil); err == nil {
			t.Error("no error of a lane that is damaged")
		}
		return l.Rows(func(SealRow) error { rows++; return nil }, func(error) { damaged++ })
	})
	if err != nil || rows != 24 || damaged != 1 {
		t.Errorf("got %d rows, %d damaged, %v", rows, damaged, err)
	}
	if err := p.Lanes(func(l *SealLane) error {
		return l.Rows(func(SealRow) error { return errTest }, nil)
	}); err != errTest {
		t.Errorf("got %v", err)
	}
}

func TestPiecesOfAPassThatIsDoneHaveMoved(t *testing.T) {
	w := newWorld(t)
	s := w.open(testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	sp.frame(1, after(0), 1)
	send(t, s, sp.drain()...)
	source := w.sourceOf(w.head, workerID(1), hostLabels(1))
	part := w.head.Live(workerID(1))[0].Parts[0].ID()
	piece := w.head.Data().Pieces(nil, source, 1, after(0), after(1))[0]
	p := w.begin(1)
	p.Done(true)
	w.journal.dropThrough(p.From() - 1)
	r, err := piece.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Select(part); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Column(nil, 0); err != query.ErrMoved {
		t.Errorf("got %v, want moved", err)
	}
}
