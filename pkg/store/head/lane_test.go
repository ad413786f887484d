package head

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/journal"
	"github.com/cloudless-fleet/cloudless/pkg/store/query"
)

var absent = model.Absent()

func TestSchemasChange(t *testing.T) {
	w := newWorld(t)
	s := w.open(testSource(1, 1))
	sp := newSpooler(t)
	kept := gauge("kept", "x")
	sp.schema(1, kept, gauge("g", "a", "b"))
	sp.frame(1, after(0), 1, 2, 3)
	sp.frame(1, after(1), 1, absent, 3)
	sp.schema(1, gauge("g", "b", "c"), kept)
	sp.frame(1, after(2), 5, 6, 7)
	sp.frame(1, after(3), 8, 9, 10)
	send(t, s, sp.drain()...)
	w.wantLines(1, 1, "0: 1 2 3", "1: 1 - 3", "2: 5 6 7", "3: 8 9 10")
	if got := w.head.Stats(); got.Samples != 11 || got.Series != 3 || got.Groups != 2 || got.Rows != 4 {
		t.Errorf("got %+v", got)
	}
	if got := w.head.deps.Dictionary.Stats().Spans; got != 2 {
		t.Errorf("got %d spans, want 2", got)
	}
}

func TestTwoSchemasInTurnNeedOneDeclarationEach(t *testing.T) {
	w := newWorld(t)
	s := w.open(testSource(1, 1))
	one, two := newSpooler(t), newSpooler(t)
	one.keyEvery, two.keyEvery = 1, 1
	one.schema(1, gauge("g", "a"))
	two.seq = one.seq
	two.schema(1, gauge("g", "a", "b"))
	send(t, s, append(one.drain(), two.drain()...)...)
	for i := range 6 {
		from := one
		if i%2 == 1 {
			from = two
		}
		from.seq = s.Applied()
		if from == one {
			send(t, s, one.frame(1, after(i), 1))
		} else {
			send(t, s, two.frame(1, after(i), 2, 3))
		}
	}
	w.wantLines(1, 1, "0: 1", "1: 2 3", "2: 1", "3: 2 3", "4: 1", "5: 2 3")
}

func TestTimesMayGoBack(t *testing.T) {
	w := newWorld(t)
	s := w.open(testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	for _, at := range []int{0, 1, 2, 2, -5, -4, 10, 1} {
		sp.frame(1, after(at), float64(sp.seq))
	}
	send(t, s, sp.drain()...)
	// Of rows with equal time the one stored first counts.
	w.wantLines(1, 1, "-5: 6", "-4: 7", "0: 2", "1: 3", "2: 4", "10: 8")
	if rows := w.head.Live(workerID(1)); rows[0].At != after(10) || rows[0].Values[0] != 8 {
		t.Errorf("newest: got %+v", rows)
	}
	if n := w.journal.count(journal.KindBase); n != 3 {
		t.Errorf("got %d bases, want one each time that the clock did not rise", n)
	}
}

func TestLongGroupsAreDivided(t *testing.T) {
	w := newWorld(t)
	s := w.open(testSource(1, 1))
	sp := newSpooler(t)
	sp.keyEvery = 10 * maxRows
	sp.schema(1, gauge("g", "a"))
	const frames = 2*maxRows + 5
	for i := range frames {
		sp.frame(1, after(i), float64(i))
	}
	send(t, s, sp.drain()...)
	if got := w.head.Stats(); got.Groups != 3 || got.Rows != frames {
		t.Errorf("got %d groups, %d rows", got.Groups, got.Rows)
	}
	if got := w.lines(1, 1); len(got) != frames || got[frames-1] != "2052: 2052" {
		t.Errorf("got %d rows, the last is %q", len(got), got[len(got)-1])
	}
}

func TestMarkStaleEndsAllLanesOfAWorker(t *testing.T) {
	w := newWorld(t)
	sp, other := newSpooler(t), newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	sp.schema(2, gauge("h", "a"))
	sp.frame(1, after(0), 1)
	sp.frame(2, after(60), 2) // its clock is ahead
	s := w.open(testSource(1, 1))
	send(t, s, sp.drain()...)
	other.schema(1, gauge("other", "a"))
	other.frame(1, after(0), 1)
	send(t, w.open(testSource(2, 1)), other.drain()...)
	for range 2 { // the second time there is nothing left to do
		if err := w.head.MarkStale(workerID(1), after(30)); err != nil {
			t.Fatal(err)
		}
	}
	w.wantLines(1, 1, "0: 1", "60.001: end")
	w.wantLines(1, 2, "60: 2", "60.001: end")
	w.wantLines(2, 1, "0: 1")
	if n := w.journal.count(journal.KindEnd); n != 1 {
		t.Errorf("got %d end records", n)
	}
	if rows := w.head.Live(workerID(1)); len(rows) != 0 {
		t.Errorf("live rows of a worker that is gone: %+v", rows)
	}
	// It comes back on the same connection.
	sp.frame(1, after(90), 3)
	send(t, s, sp.drain()...)
	w.wantLines(1, 1, "0: 1", "60.001: end", "90: 3")
	if rows := w.head.Live(workerID(1)); len(rows) != 1 || rows[0].Values[0] != 3 {
		t.Errorf("got %+v", rows)
	}
	if err := w.head.MarkStale(workerID(1), after(100)); err != nil {
		t.Fatal(err)
	}
	w.wantLines(1, 1, "0: 1", "60.001: end", "90: 3", "100: end")
	w.wantLines(1, 2, "60: 2", "60.001: end")
	if err := w.head.MarkStale(workerID(9), after(0)); err != nil {
		t.Errorf("a worker that nobody knows: %v", err)
	}
	send(t, s, sp.frame(1, after(110), 4))
	w.journal.setFail(errTest)
	if err := w.head.MarkStale(workerID(1), after(120)); err == nil {
		t.Error("no error when the journal does not take it")
	}
}

func TestARenamedWorkerEndsItsOldSeries(t *testing.T) {
	w := newWorld(t)
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	sp.frame(1, after(0), 1)
	send(t, w.open(testSource(1, 1)), sp.drain()...)
	renamed := testSource(1, 2)
	renamed.Labels = labels.FromStrings("instance", "other", "job", "node")
	sp = newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	sp.frame(1, after(1), 2)
	send(t, w.open(renamed), sp.drain()...)
	w.wantLines(1, 1, "0: 1", "0.001: end")
	other := w.sourceOf(w.head, workerID(1), renamed.Labels)
	if diff := cmp.Diff([]line{"1: 2"}, w.linesOf(w.head, other, 1)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if rows := w.head.Live(workerID(1)); len(rows) != 1 || rows[0].Values[0] != 2 {
		t.Errorf("got %+v", rows)
	}
}

func TestLiveRowsAreThoseOfThePresentProcess(t *testing.T) {
	w := newWorld(t)
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	sp.schema(2, gauge("h", "a"))
	sp.frame(1, after(0), 1)
	sp.frame(2, after(0), 2)
	first := w.open(testSource(1, 1))
	send(t, first, sp.drain()...)
	if n, ok := w.head.Newest(workerID(1)); !ok || n.At != after(0) || !n.Received.Equal(testNow) {
		t.Errorf("newest: got %+v", n)
	}
	w.pass(time.Second)
	second := w.open(testSource(1, 2))
	sp = newSpooler(t)
	sp.schema(1, gauge("g", "a", "b"))
	sp.frame(1, after(1), 3, absent)
	send(t, second, sp.drain()...)
	rows := w.head.Live(workerID(1))
	if len(rows) != 2 || rows[0].Stream != 1 || rows[0].Parts[0].Columns() != 2 || rows[0].Values[0] != 3 || !model.IsAbsent(rows[0].Values[1]) || rows[1].Values[0] != 2 {
		t.Errorf("got %+v", rows)
	}
	w.pass(oldBootAfter)
	if rows = w.head.Live(workerID(1)); len(rows) != 1 || rows[0].Stream != 1 {
		t.Errorf("some minutes later: got %+v", rows)
	}
	if w.head.Live(workerID(9)) != nil {
		t.Error("rows of a worker that nobody knows")
	}
	if _, ok := w.head.Newest(workerID(9)); ok {
		t.Error("newest of a worker that nobody knows")
	}
}

func TestNewestRowsForQueries(t *testing.T) {
	w := newWorld(t)
	s := w.open(testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a", "b"), gauge("h", "a"))
	sp.frame(1, after(0), 1, 2, 3)
	sp.frame(1, after(5), 4, absent, 6)
	sp.frame(1, after(2), 7, 8, 9) // late: not the newest
	send(t, s, sp.drain()...)
	source := w.sourceOf(w.head, workerID(1), hostLabels(1))
	parts := w.head.Live(workerID(1))[0].Parts
	f := func(stream model.StreamID, part frame.PartID, mint, maxt int, has, ok bool, want ...string) {
		t.Helper()
		values, at, gotHas, gotOK := w.head.Data().Newest([]float64{9, 9, 9}, source, stream, part, after(mint), after(maxt))
		var got []string
		if gotHas {
			for _, v := range values {
				got = append(got, number(v))
			}
		}
		if gotHas != has || gotOK != ok || ok && at != after(5) && at != after(50) || !cmp.Equal(want, got) {
			t.Errorf("%d to %d: got %v at %d, %t, %t", mint, maxt, got, at, gotHas, gotOK)
		}
	}
	f(1, parts[0].ID(), 0, 5, true, true, "4", "-")
	f(1, parts[1].ID(), 5, 10, true, true, "6")
	f(1, frame.PartID{1}, 5, 10, false, true)
	f(1, parts[0].ID(), 0, 4, false, false)
	f(1, parts[0].ID(), 6, 10, false, false)
	f(2, parts[0].ID(), 0, 10, false, false)
	if err := w.head.MarkStale(workerID(1), after(50)); err != nil {
		t.Fatal(err)
	}
	f(1, parts[0].ID(), 0, 60, false, true)
}

func TestGroupsThatFollowEachOtherAreReadAtOnce(t *testing.T) {
	w := newWorld(t)
	s := w.open(testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a", "b"))
	for i := range 50 {
		sp.frame(1, after(i), float64(i), absent)
	}
	send(t, s, sp.drain()...)
	source := w.sourceOf(w.head, workerID(1), hostLabels(1))
	pieces := w.head.Data().Pieces(nil, source, 1, after(15), after(33))
	if len(pieces) != 1 {
		t.Fatalf("got %d pieces, want 1", len(pieces))
	}
	if first, last := pieces[0].Range(); first != after(10) || last != after(39) {
		t.Errorf("got a piece from %d to %d", first, last)
	}
	var pool query.Readers
	r, err := pieces[0].Open(&pool)
	if err != nil {
		t.Fatal(err)
	}
	part := w.head.Live(workerID(1))[0].Parts[0].ID()
	if runs, err := r.Select(part); err != nil || !cmp.Equal(runs, []query.Run{{From: 0, To: 30}}) {
		t.Errorf("got %v, %v", runs, err)
	}
	got, err := r.(query.RowsReader).Rows([]float64{-1}, 0, 8, 13)
	if diff := cmp.Diff([]float64{-1, 18, 19, 20, 21, 22}, got); diff != "" || err != nil {
		t.Errorf("rows (-want +got):\n%s%v", diff, err)
	}
	r.Close()
	r.Close()
	if w.head.Data().Pieces(nil, source, 1, after(60), after(90)) != nil || w.head.Data().Pieces(nil, source, 7, after(0), after(90)) != nil {
		t.Error("pieces where there are no rows")
	}
}

func TestDamageCostsItsGroupOnly(t *testing.T) {
	w := newWorld(t)
	s := w.open(testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	for i := range 30 {
		sp.frame(1, after(i), float64(i))
	}
	send(t, s, sp.drain()...)
	w.journal.bad = map[uint64]bool{uint64(w.journal.len() - 15): true} // in the second group
	source := w.sourceOf(w.head, workerID(1), hostLabels(1))
	part := w.head.Live(workerID(1))[0].Parts[0].ID()
	read := func() (pieces, rows, moved, failed int) {
		for _, p := range w.head.Data().Pieces(nil, source, 1, after(0), after(90)) {
			pieces++
			r, err := p.Open(nil)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = r.Select(part); err != nil {
				t.Fatal(err)
			}
			values, err := r.Column(nil, 0)
			r.Close()
			switch {
			case err == query.ErrMoved:
				moved++
			case err != nil:
				failed++
			}
			rows += len(values)
		}
		return pieces, rows, moved, failed
	}
	if pieces, _, moved, _ := read(); pieces != 1 || moved != 1 {
		t.Errorf("first: got %d pieces, %d moved", pieces, moved)
	}
	if pieces, rows, moved, failed := read(); pieces != 3 || rows != 20 || moved != 0 || failed != 1 {
		t.Errorf("then: got %d pieces, %d rows, %d moved, %d failed", pieces, rows, moved, failed)
	}
}

func TestLargePartsAreReadWithoutAMatrix(t *testing.T) {
	w := newWorld(t)
	w.limits.MaxSeries = 1 << 16
	w.restart(-1, nil)
	s := w.open(testSource(1, 1))
	sp := newSpooler(t)
	sp.keyEvery = 200
	var devices []string
	for i := range 9000 {
		devices = append(devices, string(rune('a'+i%26))+number(float64(i)))
	}
	sp.schema(1, gauge("g", devices...))
	row := make([]float64, 9000)
	for i := range 120 {
		row[8999] = float64(i)
		sp.frame(1, after(i), row...)
	}
	send(t, s, sp.drain()...)
	p := w.head.Data().Pieces(nil, w.sourceOf(w.head, workerID(1), hostLabels(1)), 1, after(0), after(200))[0]
	r, err := p.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Select(w.head.Live(workerID(1))[0].Parts[0].ID()); err != nil {
		t.Fatal(err)
	}
	values, err := r.Column(nil, 8999)
	if err != nil || len(values) != 120 || values[119] != 119 || values[0] != 0 {
		t.Errorf("got %d values, %v", len(values), err)
	}
	some, err := r.(query.RowsReader).Rows(nil, 8999, 100, 103)
	if diff := cmp.Diff([]float64{100, 101, 102}, some); diff != "" || err != nil {
		t.Errorf("(-want +got):\n%s%v", diff, err)
	}
}

func TestSweepForgetsWhatIsOfNoUse(t *testing.T) {
	w := newWorld(t)
	s := w.open(testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	sp.frame(1, after(0), 1)
	send(t, s, sp.drain()...)
	w.pass(2 * time.Hour)
	w.head.Sweep(w.clock())
	if len(w.head.Live(workerID(1))) != 1 {
		t.Error("a connected worker was forgotten")
	}
	s.Close()
	w.pass(2 * time.Hour)
	w.head.Sweep(w.clock())
	if len(w.head.Live(workerID(1))) != 1 {
		t.Error("rows were forgotten that are in no volume")
	}
	p, err := w.head.BeginPass(1)
	if err != nil {
		t.Fatal(err)
	}
	w.head.Sweep(w.clock())
	p.Done(true)
	if len(w.head.Live(workerID(1))) != 1 {
		t.Error("rows were forgotten during a pass")
	}
	w.head.Sweep(w.clock())
	if stats := w.head.Stats(); stats.Lanes != 0 || stats.Workers != 1 || stats.Frames != 1 {
		t.Errorf("got %+v", stats)
	}
	if got := w.open(testSource(1, 1)).Resume(); got != sp.seq {
		t.Errorf("what was received was forgotten: resume is %d", got)
	}
	w.head.Close()
	w.pass(31 * 24 * time.Hour)
	w.head.Sweep(w.clock())
	if stats := w.head.Stats(); stats.Workers != 0 || stats.Frames != 1 {
		t.Errorf("got %+v", stats)
	}
}

func TestTheNewestRowInMemoryIsNotThatOfTheVolume(t *testing.T) {
	w := newWorld(t)
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	sp.frame(1, after(60), 1)
	s := w.open(testSource(1, 1))
	send(t, s, sp.drain()...)
	part := w.head.Live(workerID(1))[0].Parts[0].ID()
	w.begin(1).Done(true)
	s.Close()
	w.pass(2 * time.Hour)
	w.head.Sweep(w.clock()) // the lane is forgotten

	source := w.sourceOf(w.head, workerID(1), hostLabels(1))
	newest := func() bool {
		_, _, _, ok := w.head.Data().Newest(nil, source, 1, part, after(0), after(7200))
		return ok
	}
	sp = newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	sp.frame(1, after(30), 2)
	s = w.open(testSource(1, 2))
	send(t, s, sp.drain()...)
	if newest() {
		t.Error("a late row passes for the newest")
	}
	send(t, s, sp.frame(1, after(90), 3))
	if !newest() {
		t.Error("the newest row is not known")
	}
}
