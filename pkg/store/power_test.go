package store

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
)

const (
	powerFrames = 600
	powerEvery  = 50 // frames of one schema
)

// history is all that a worker will ever send. Frame i is of second i - powerFrames,
// and has the value i in both of its columns: one stays, the other is of the schema.
type history struct {
	records []frame.Record // by number, from 1 on
	frames  []int          // which frame a record is; -1: none
	acked   uint64
}

func newHistory(t testing.TB) *history {
	sp := newSpooler(t)
	h := &history{}
	for i := range powerFrames {
		if i%powerEvery == 0 {
			sp.schema(1, gauge("g", "a"), gauge(ofSchema(i), "a"))
		}
		sp.frame(1, after(i-powerFrames), float64(i), float64(i))
	}
	h.records = sp.drain()
	n := 0
	for _, r := range h.records {
		if r.Kind == frame.KindFrame {
			h.frames = append(h.frames, n)
			n++
		} else {
			h.frames = append(h.frames, -1)
		}
	}
	return h
}

func ofSchema(i int) string { return fmt.Sprintf("schema%d", i/powerEvery) }

// context is what a session needs that goes on behind a number.
func (h *history) context(seq uint64) (context []frame.Record) {
	key := int(seq) - 1
	for ; key >= 0; key-- {
		if r := h.records[key]; r.Kind == frame.KindFrame {
			if head, err := frame.Peek(r.Payload); err == nil && head.Key {
				break
			}
		}
	}
	for i, r := range h.records[:seq] {
		if r.Kind != frame.KindFrame || i >= key {
			context = append(context, r)
		}
	}
	return context
}

// powerWorker is one of the workers of TestPowerCuts.
type powerWorker struct {
	*history
	id      byte
	session *Session
	next    uint64
}

// connect opens a session if none is open.
func (w *powerWorker) connect(t *testing.T, s *Store) {
	if w.session != nil {
		return
	}
	session, err := s.OpenSession(testSource(w.id, 1))
	if err != nil {
		causeOf(t, err)
		return
	}
	if session.Resume() < w.acked {
		t.Errorf("worker %d: resume is %d, and %d was acknowledged", w.id, session.Resume(), w.acked)
	}
	for _, r := range w.context(session.Resume()) {
		if err := trySend(session, r); err != nil {
			t.Errorf("worker %d: context %d: %v", w.id, r.Seq, err)
			return
		}
	}
	w.session, w.next = session, session.Resume()+1
}

func (w *powerWorker) send(t *testing.T, s *Store, n int) {
	w.connect(t, s)
	for ; w.session != nil && n > 0 && int(w.next) <= len(w.records); n-- {
		if err := trySend(w.session, w.records[w.next-1]); err != nil {
			causeOf(t, err)
			w.session = nil
			return
		}
		w.next++
	}
}

// note reads what is acknowledged.
func (w *powerWorker) note() {
	if w.session != nil {
		seq, _ := w.session.Durable()
		w.acked = max(w.acked, seq)
	}
}

// check finds everything that was acknowledged, and nothing that was not sent.
func (w *powerWorker) check(t *testing.T, s *Store, stage string) {
	t.Helper()
	found := stored(t, s, ofHost(w.id))
	got := func(name string) map[int64]float64 {
		all := map[int64]float64{}
		for _, p := range found[fmt.Sprintf(`{__name__="%s", dev="a", instance="host%d", job="node"}`, name, w.id)] {
			if !p.Ended {
				all[p.At] = p.Value
			}
		}
		return all
	}
	stays := got("g")
	for i := range powerFrames {
		of := map[int64]float64{}
		if i%powerEvery == 0 {
			of = got(ofSchema(i))
			for at, v := range of {
				if f := int(v); f/powerEvery != i/powerEvery || at != int64(f-powerFrames) {
					t.Errorf("%s: worker %d: %v at %d in the series of schema %d", stage, w.id, v, at, i/powerEvery)
				}
			}
			wanted := 0
			for n, f := range w.frames[:w.acked] {
				if f >= 0 && f/powerEvery == i/powerEvery {
					wanted++
					if _, has := of[int64(f-powerFrames)]; !has {
						t.Errorf("%s: worker %d: record %d, frame %d of schema %d, was acknowledged and is not there", stage, w.id, n+1, f, i/powerEvery)
						return
					}
				}
			}
		}
	}
	for at, v := range stays {
		if int(v) != int(at)+powerFrames {
			t.Errorf("%s: worker %d: %v at %d", stage, w.id, v, at)
		}
	}
	for n, f := range w.frames[:w.acked] {
		if _, has := stays[int64(f-powerFrames)]; f >= 0 && !has {
			t.Errorf("%s: worker %d: record %d, frame %d, was acknowledged and is not there", stage, w.id, n+1, f)
			return
		}
	}
}

// TestPowerCuts does at random what happens to a store, on a disk that may fail, be cut
// off or be killed at any time: what was acknowledged is there, always.
func TestPowerCuts(t *testing.T) {
	lives := uint64(40)
	if testing.Short() {
		lives = 10
	}
	shared := newHistory(t)
	for seed := range lives {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { powerCuts(t, shared, seed) })
	}
}

func powerCuts(t *testing.T, shared *history, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 9))
	d := newDisk(seed)
	config, deps := on(d)
	var s *Store
	reopen := func(on *disk) {
		d, deps.FS = on, on
		var err error
		if s, err = Open(config, deps); err != nil {
			t.Fatal(err)
		}
	}
	reopen(d)
	defer func() { _ = s.Close() }()
	workers := []*powerWorker{}
	for id := byte(1); id <= 2; id++ {
		copied := *shared
		workers = append(workers, &powerWorker{history: &copied, id: id})
	}
	gone := func() {
		for _, w := range workers {
			w.session = nil
		}
	}
	check := func(stage string) {
		t.Helper()
		for _, w := range workers {
			w.check(t, s, stage)
		}
	}
	for step := 0; step < 80 && !t.Failed(); step++ {
		stage := fmt.Sprintf("step %d", step)
		w := workers[random.IntN(len(workers))]
		switch random.IntN(12) {
		case 0, 1, 2, 3:
			w.send(t, s, 1+random.IntN(40))
		case 4:
			_ = s.flush()
		case 5:
			_ = s.Pass()
		case 6:
			if random.IntN(2) == 0 {
				d.SetFaults(durabletest.Faults{})
			} else {
				d.SetFaults(durabletest.Faults{Write: 0.05, Sync: 0.2, Name: 0.1, SyncFolder: 0.1, Truncate: 0.1})
			}
		case 7:
			_ = s.MarkStale(workerID(w.id), testNow)
		case 8:
			d.stopAfter(int64(random.IntN(20)), fmt.Errorf("cut"))
			w.send(t, s, 20)
			_ = s.Pass()
			_ = s.flush()
			workers[0].note()
			workers[1].note()
			old := s
			d.Disk.SetFaults(durabletest.Faults{})
			next := diskOf(d.Cut(seed + uint64(step)))
			_ = old.Close()
			reopen(next)
			gone()
			check(stage + ": after a power cut")
		case 9:
			workers[0].note()
			workers[1].note()
			d.SetFaults(durabletest.Faults{})
			d.Kill() // whoever has the disk now is too late
			killed := d
			killed.stopAfter(0, fmt.Errorf("killed"))
			old := s
			next := diskOf(killed.Disk)
			reopen(next)
			gone()
			check(stage + ": killed")
			defer old.Close()
		case 10:
			d.SetFaults(durabletest.Faults{})
			if err := s.Close(); err != nil {
				t.Error(err)
			}
			workers[0].note()
			workers[1].note()
			reopen(d)
			gone()
			check(stage + ": closed")
		case 11:
			if w.session != nil {
				w.note()
				w.session.Close()
				w.session = nil
			}
		}
		for _, w := range workers {
			w.note()
		}
	}
	d.SetFaults(durabletest.Faults{})
	check("at the end")
	for _, w := range workers {
		for try := 0; int(w.acked) < len(w.records) && try < 50; try++ {
			w.send(t, s, len(w.records))
			if err := s.flush(); err != nil {
				continue
			}
			w.note()
		}
		if int(w.acked) < len(w.records) {
			t.Errorf("worker %d: %d of %d are durable in the end", w.id, w.acked, len(w.records))
		}
	}
	pass(t, s)
	check("sealed at the end")
}
