package head

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/journal"
)

// TestReplayOfAnyBeginningIsTheStateThen lets workers do everything at random, remembers what the
// head was after every step, and replays each beginning of the journal.
func TestReplayOfAnyBeginningIsTheStateThen(t *testing.T) {
	for seed := range uint64(30) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t)
			f := newFate(w, seed)
			states := map[int]string{}
			for range 150 {
				f.step()
				states[w.journal.len()] = newestOf(w.head) + describe(w.head)
				if t.Failed() {
					return
				}
			}
			for records := range w.journal.len() + 1 {
				h := w.build(w.journal)
				got := w.replay(h, w.journal, records, f.hasVolume(uint64(records)))
				if got.Lost != 0 || got.Orphans != 0 {
					t.Errorf("%d records: got %+v", records, got)
				}
				if want, known := states[records]; known && want != newestOf(h)+describe(h) {
					t.Fatalf("%d records (-want +got):\n%s", records, cmp.Diff(want, newestOf(h)+describe(h)))
				}
			}
		})
	}
}

func newestOf(h *Head) string {
	n, _ := h.Newest(workerID(1))
	return fmt.Sprintf("newest at %d\n", n.At)
}

// fate lets things happen to a worker, and knows what must come of it.
type fate struct {
	w       *world
	random  *rand.Rand
	boots   []*past
	live    *delivery
	back    *delivery
	pass    *Pass
	sealed  map[string][]line // by volumes
	volumes map[uint64]uint64 // published, and the length of the journal then
	volume  uint64
	now     int
	trim    bool // the journal after each pass
	synced  int  // length of the journal that no power cut takes
}

// past is a boot and what it has made.
type past struct {
	id      byte
	spooler *spooler
	records []frame.Record
	rows    map[uint64]string // of frames: stream/time and values, by number
	schemas int
}

// delivery is a session and where it stands.
type delivery struct {
	*Session
	of   *past
	next int
}

func newFate(w *world, seed uint64) *fate {
	f := &fate{w: w, random: rand.New(rand.NewPCG(seed, 7)), sealed: map[string][]line{}, volumes: map[uint64]uint64{}}
	f.boot()
	return f
}

// hasVolume says which volumes there were when the journal had so many records.
func (f *fate) hasVolume(records uint64) func(uint64) bool {
	return func(volume uint64) bool {
		at, published := f.volumes[volume]
		return published && at <= records
	}
}

// published says which volumes there are.
func (f *fate) published(volume uint64) bool { return f.volumes[volume] > 0 }

func (f *fate) boot() {
	p := &past{id: byte(len(f.boots) + 1), spooler: newSpooler(f.w.t), rows: map[uint64]string{}}
	p.spooler.keyEvery = 6
	f.boots = append(f.boots, p)
	f.schema(p, 1)
	f.schema(p, 2)
	f.live, f.back = nil, nil
}

func (f *fate) present() *past { return f.boots[len(f.boots)-1] }

func (f *fate) schema(p *past, stream model.StreamID) {
	devices := []string{"a", "b", "c", "d", "e"}
	p.schemas++
	p.spooler.schema(stream, gauge(fmt.Sprintf("g%d", stream), devices[:1+f.random.IntN(5)]...), gauge(fmt.Sprintf("h%d", stream), "x"))
	p.records = append(p.records, p.spooler.drain()...)
}

// sample makes a frame.
func (f *fate) sample() {
	p, stream := f.present(), model.StreamID(1+f.random.IntN(2))
	f.now++
	at := f.now
	if f.random.IntN(20) == 0 {
		at -= f.random.IntN(5) // the clock is set back
	}
	row, text := make([]float64, p.spooler.columns[stream]), ""
	for i := range row {
		row[i] = float64(f.random.IntN(3))
		if f.random.IntN(4) == 0 {
			row[i] = absent
		}
		text += " " + number(row[i])
	}
	r := p.spooler.frame(stream, after(at), row...)
	p.records = append(p.records, p.spooler.drain()...)
	p.rows[r.Seq] = fmt.Sprintf("%d/%d:%s", stream, at, text)
}

// open begins a session for the newest records, or for older ones.
func (f *fate) open(backfill bool) {
	of := f.present()
	first := 0
	if backfill {
		of = f.boots[f.random.IntN(len(f.boots))]
	} else if f.random.IntN(3) == 0 {
		first = f.random.IntN(len(of.records)) // what is before is left for later
	}
	source := testSource(1, of.id)
	source.Backfill, source.First = backfill, uint64(first+1)
	d := &delivery{Session: f.w.open(source), of: of}
	d.next = int(d.Resume())
	// The context is everything, which is more than a spool would send.
	send(f.w.t, d.Session, of.records[:d.next]...)
	if backfill {
		f.back = d
	} else {
		f.live = d
	}
}

// deliver sends some records, some of them again.
func (f *fate) deliver(d *delivery) {
	if d == nil {
		return
	}
	for range 1 + f.random.IntN(12) {
		if d.next >= len(d.of.records) {
			return
		}
		send(f.w.t, d.Session, d.of.records[d.next])
		d.next++
		if f.random.IntN(6) == 0 {
			send(f.w.t, d.Session, d.of.records[f.random.IntN(d.next)])
		}
	}
}

func (f *fate) step() {
	switch f.random.IntN(24) {
	case 0:
		f.open(false)
	case 1:
		f.open(true)
	case 2:
		f.schema(f.present(), model.StreamID(1+f.random.IntN(2)))
	case 3:
		if f.random.IntN(4) == 0 {
			f.boot()
		}
	case 4:
		if f.live != nil {
			f.live.Close()
			f.live = nil
		}
	case 5:
		if f.random.IntN(2) == 0 {
			if err := f.w.head.MarkStale(workerID(1), after(f.now)); err != nil {
				f.w.t.Fatal(err)
			}
		}
	case 6, 7:
		f.passes()
	case 8, 9, 10, 11, 12:
		f.deliver(f.live)
	case 13, 14, 15:
		f.deliver(f.back)
	default:
		f.sample()
	}
}

// passes begins a pass, or ends the one under way.
func (f *fate) passes() {
	if f.pass == nil {
		f.volume++
		f.pass = f.w.begin(f.volume)
		f.synced = f.w.journal.len() // before the volume is written
		return
	}
	published := f.random.IntN(3) > 0
	if published {
		for lane, rows := range f.w.seal(f.pass) {
			f.sealed[lane] = append(f.sealed[lane], rows...)
		}
		f.volumes[f.volume] = uint64(f.w.journal.len())
	}
	f.pass.Done(published)
	if published && f.trim {
		f.w.journal.dropThrough(f.pass.From() - 1)
	}
	f.pass = nil
}

// TestEverythingIsStoredOnce lets things happen, with restarts and a journal that is trimmed, delivers
// the rest, and counts.
func TestEverythingIsStoredOnce(t *testing.T) {
	for seed := range uint64(60) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWorld(t)
			f := newFate(w, 1000+seed)
			f.trim = seed%2 == 0
			for i := range 300 {
				f.step()
				if i%40 == 39 {
					f.crash()
				}
				if t.Failed() {
					return
				}
			}
			f.finish()
		})
	}
}

// crash restarts the head from the journal, sometimes without what was not synced.
func (f *fate) crash() {
	if f.pass == nil && len(f.volumes) > 0 && f.random.IntN(2) == 0 {
		if p := f.w.begin(99999); p != nil {
			p.Done(false)
		}
	}
	f.live, f.back, f.pass = nil, nil, nil
	before := describe(f.w.head)
	if whole := f.w.journal.len(); f.random.IntN(2) == 0 {
		f.w.journal.cut(max(f.synced, whole-f.random.IntN(30)))
		f.w.restart(-1, f.published)
		return
	}
	f.w.restart(-1, f.published)
	if diff := cmp.Diff(before, describe(f.w.head)); diff != "" {
		f.w.t.Errorf("restart (-before +after):\n%s", diff)
	}
}

// finish delivers what was not delivered, and compares.
func (f *fate) finish() {
	w := f.w
	for _, p := range f.boots {
		source := testSource(1, p.id)
		source.Backfill = true
		d := &delivery{Session: w.open(source), of: p}
		send(w.t, d.Session, p.records...)
		if d.Applied() != uint64(len(p.records)) {
			w.t.Errorf("boot %d: applied %d of %d", p.id, d.Applied(), len(p.records))
		}
	}
	if len(w.refused) > 0 {
		w.t.Errorf("refused: %v", w.refused)
	}
	want := map[string]int{}
	for _, p := range f.boots {
		for _, row := range p.rows {
			want[row]++
		}
	}
	f.compare(want)
	if f.trim {
		return
	}
	got := map[string]int{}
	for i := range w.journal.len() {
		e, err := w.journal.entry(uint64(i + 1))
		if err != nil || e.Kind != journal.KindRecord {
			continue
		}
		r, err := frame.PeekRecord(e.Raw)
		if err != nil {
			w.t.Fatal(err)
		}
		for _, p := range f.boots {
			if row := p.rows[r.Seq]; row != "" && slices.ContainsFunc(p.records, func(q frame.Record) bool { return q.Seq == r.Seq && string(q.Payload) == string(r.Payload) }) {
				got[row]++
				break
			}
		}
	}
	total := func(m map[string]int) (n int) {
		for _, c := range m {
			n += c
		}
		return n
	}
	if total(want) != total(got) {
		w.t.Errorf("got %d frames in the journal, want %d", total(got), total(want))
	}
}

// compare looks for every row in what is sealed and what is open.
func (f *fate) compare(want map[string]int) {
	found := map[string]int{}
	for _, stream := range []model.StreamID{1, 2} {
		lane := fmt.Sprintf("1/%d", stream)
		for _, rows := range [][]line{f.sealed[lane], f.w.lines(1, stream)} {
			for _, row := range rows {
				found[fmt.Sprintf("%d/%s", stream, row)]++
			}
		}
	}
	times := map[string]int{}
	for row, n := range want {
		times[timeOf(row)] += n
	}
	for row := range want {
		// Of several with equal time one is stored first; it may be an end row.
		if times[timeOf(row)] == 1 && found[row] != 1 && found[timeOf(row)+": end"] == 0 {
			f.w.t.Errorf("row %q is there %d times", row, found[row])
		}
	}
}

func timeOf(row string) string {
	for i := range row {
		if row[i] == ':' {
			return row[:i]
		}
	}
	return row
}
