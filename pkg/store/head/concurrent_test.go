package head

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/journal"
	"github.com/cloudless-fleet/cloudless/pkg/store/query"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// openJournal opens a journal on disk.
func openJournal(t testing.TB, dir string) *journal.Journal {
	t.Helper()
	j, _, err := journal.Open(dir, journal.Options{SegmentBytes: 1 << 16})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

// TestAllAtOnce has workers deliver live and backfill, while others query, pass, sweep, end and look;
// in the end everything is there, in volumes and in what is open, and after a restart.
func TestAllAtOnce(t *testing.T) {
	const workers, frames = 4, 400
	w := newWorld(t)
	dir := t.TempDir()
	j := openJournal(t, dir)
	w.head = w.build(Over(j))
	var sending, looking sync.WaitGroup
	var stop atomic.Bool
	for worker := range byte(workers) {
		sp := newSpooler(t)
		sp.schema(1, gauge("g", "a", "b"))
		for i := range frames {
			sp.frame(1, after(i), float64(i), float64(worker))
		}
		records := sp.drain()
		half := len(records) / 2
		for _, backfill := range []bool{false, true} {
			source := testSource(worker+1, 1)
			source.Backfill = backfill
			mine := records[:half+50] // some of them twice
			if !backfill {
				source.First, mine = uint64(half+1), records
			}
			s := w.open(source)
			sending.Go(func() {
				for _, r := range mine {
					if refusal := try(s, r); refusal != nil {
						t.Errorf("record %d: %v", r.Seq, refusal)
						return
					}
				}
			})
		}
	}
	look := func(do func(*query.Readers)) {
		looking.Go(func() {
			var pool query.Readers
			for !stop.Load() {
				do(&pool)
			}
		})
	}
	for worker := range byte(workers) {
		source := w.sourceOf(w.head, workerID(worker+1), hostLabels(worker+1))
		look(func(pool *query.Readers) { w.readAll(source, pool) })
	}
	look(func(*query.Readers) {
		for worker := range byte(workers) {
			w.head.Newest(workerID(worker + 1))
			for _, row := range w.head.Live(workerID(worker + 1)) {
				if row.Values[1] != float64(worker) {
					t.Errorf("worker %d: got %v", worker, row.Values)
				}
			}
		}
		w.head.Stats()
		w.head.Sweep(testNow)
	})
	sealed := map[string]map[model.Millis]int{}
	volume := uint64(0)
	pass := func() {
		volume++
		p := w.begin(volume)
		if volume%3 == 0 {
			p.Done(false)
			return
		}
		count(t, p, sealed)
		p.Done(true)
		if err := j.DropThrough(p.From() - 1); err != nil {
			t.Error(err)
		}
	}
	look(func(*query.Readers) { pass() })
	sending.Wait()
	stop.Store(true)
	looking.Wait()

	has := func(uint64) bool { return true }
	check := func(h *Head, life string) {
		t.Helper()
		for worker := range byte(workers) {
			source := w.sourceOf(h, workerID(worker+1), hostLabels(worker+1))
			all := map[model.Millis]int{}
			for at, n := range sealed[fmt.Sprint(worker+1)] {
				all[at] += n
			}
			for _, p := range h.Data().Pieces(nil, source, 1, schemas.MinTime, schemas.MaxTime) {
				times, _ := w.readPiece(p, nil)
				for _, at := range times {
					all[model.Millis(at)]++
				}
			}
			if len(all) != frames {
				t.Errorf("%s: worker %d: got %d rows, want %d", life, worker+1, len(all), frames)
			}
			for at, n := range all {
				if n != 1 {
					t.Errorf("%s: worker %d: row at %d is there %d times", life, worker+1, at, n)
				}
			}
		}
	}
	check(w.head, "running")
	before := describe(w.head)
	w.head.Close()
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j = openJournal(t, dir)
	w.head = w.build(Over(j))
	err := j.Replay(func(index uint64, e journal.Entry) error {
		// Passes whose number is divisible by three have left no volume.
		return w.head.Replay(index, e, func(v uint64) bool { return has(v) && v%3 != 0 })
	}, func(d *durable.Damage) { t.Error(d) })
	if err != nil {
		t.Fatal(err)
	}
	if got := w.head.FinishReplay(); got.Lost != 0 {
		t.Errorf("replay: got %+v", got)
	}
	check(w.head, "restarted")
	if diff := cmp.Diff(before, describe(w.head)); diff != "" {
		t.Errorf("restart (-before +after):\n%s", diff)
	}
}

// count counts the rows of a pass by worker and time.
func count(t *testing.T, p *Pass, rows map[string]map[model.Millis]int) {
	t.Helper()
	err := p.Lanes(func(l *SealLane) error {
		name := fmt.Sprint(l.Source.Worker()[1])
		if rows[name] == nil {
			rows[name] = map[model.Millis]int{}
		}
		return l.Rows(func(r SealRow) error {
			rows[name][r.At]++
			return nil
		}, nil)
	})
	if err != nil {
		t.Error(err)
	}
}

// readAll reads all pieces of a lane, and looks whether rows are what they should be.
func (w *world) readAll(source *schemas.Source, pool *query.Readers) {
	part := frame.PartID{}
	for _, p := range w.head.Data().Pieces(nil, source, 1, schemas.MinTime, schemas.MaxTime) {
		r, err := p.Open(pool)
		if err != nil {
			w.t.Error(err)
			return
		}
		part = p.(*piece).members[0].schema.parts[0].ID()
		if _, err = r.Select(part); err != nil {
			w.t.Error(err)
		}
		times, err := r.Times()
		if err != nil {
			w.t.Error(err)
		}
		values, err := r.Column(nil, 0)
		if err != nil && err != query.ErrMoved {
			w.t.Error(err)
		}
		for i, v := range values {
			if model.Millis(times[i]) != after(int(v)) {
				w.t.Errorf("value %g at %d", v, times[i])
			}
		}
		r.Close()
	}
	w.head.Data().Newest(nil, source, 1, part, schemas.MinTime, schemas.MaxTime)
}
