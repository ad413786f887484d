package ledger

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestTheOldestEntriesOfAWorkerAreMerged(t *testing.T) {
	b := newBench(t)
	b.cfg.MaxPerWorker = 16
	b.reopen()
	for seq := uint64(1); seq <= 100; seq++ {
		cause := event.HostOff
		if seq%2 == 0 {
			cause = event.SpoolOld
		}
		b.Add(Report{workerOf(1), bootOf(1), seq, event.Gap{Cause: cause, From: b.at, To: b.at + 10, Frames: seq, Samples: 2 * seq}})
		b.at += 1000
		b.check(t)
	}
	b.report(2, 1, 1, event.HostOff)
	b.sync()
	entries := b.all()
	if len(entries) > 16+2+1 {
		t.Errorf("got %d entries", len(entries))
	}
	merged := uint64(0)
	for _, e := range entries {
		merged += e.Earlier
	}
	if int(merged)+len(entries)-2 != 101 {
		t.Errorf("%d entries, %d merged", len(entries), merged)
	}
	want := []Total{
		{Cause: event.HostOff, Entries: 50, From: start, To: start + 98_010, Frames: 50 * 50, Samples: 2 * 50 * 50},
		{Cause: event.SpoolOld, Entries: 50, From: start + 1000, To: start + 99_010, Frames: 51 * 50, Samples: 2 * 51 * 50},
	}
	b.wantTotals(Query{Worker: workerOf(1)}, want...)
	b.reopen()
	b.wantTotals(Query{Worker: workerOf(1)}, want...)
	b.check(t)
}

func TestCausesThatWorkersInvent(t *testing.T) {
	b := newBench(t)
	b.cfg.MaxPerWorker = 16
	b.reopen()
	for seq := uint64(1); seq <= 1000; seq++ {
		b.Add(Report{workerOf(1), bootOf(1), seq, event.Gap{Cause: event.Cause(fmt.Sprintf("cause_%d", seq)), From: start, To: start, Frames: 1}})
	}
	b.check(t)
	frames := uint64(0)
	for _, total := range b.Totals(Query{}) {
		frames += total.Frames
	}
	if frames != 1000 || b.Stats().Noted[event.CauseOther].Frames != 1000 {
		t.Errorf("%d frames; stats %+v", frames, b.Stats())
	}
	b.reopen()
}

// TestAllTogetherStayWithinTheBounds: memory and disk, whatever is reported.
func TestAllTogetherStayWithinTheBounds(t *testing.T) {
	b := newBench(t)
	const workers, each = 40, 5000
	often := func(w int) int { return (w + 1) * (w + 1) }
	for seq := uint64(1); seq <= each; seq++ {
		for w := range byte(workers) {
			if int(seq)%often(int(w)) == 0 {
				b.Add(Report{workerOf(w), bootOf(1), seq, event.Gap{Cause: event.SpoolFull, From: b.at, To: b.at, Frames: 1, Samples: 10, Text: strings.Repeat("x", int(w))}})
			}
		}
		b.at += 1000
		if seq%10 == 0 {
			b.sync()
			if s := b.Stats(); s.Bytes > b.cfg.mostLive() || s.Log.Bytes > int64(b.cfg.MaxBytes) {
				t.Fatalf("after %d: %d bytes of entries, %d of the log", seq, s.Bytes, s.Log.Bytes)
			}
		}
	}
	b.check(t)
	s := b.Stats()
	if s.Rewrites == 0 || s.Merged == 0 {
		t.Errorf("this test proves nothing: %+v", s)
	}
	want := uint64(0)
	for w := range workers {
		want += uint64(each / often(w))
	}
	b.wantTotals(Query{}, Total{Cause: event.SpoolFull, Entries: want, From: start, To: start + (each-1)*1000, Frames: want, Samples: 10 * want})
	if quiet := b.Totals(Query{Worker: workerOf(workers - 1)}); quiet[0].Entries != 3 {
		t.Errorf("the worker in order: %+v", quiet)
	}
	found, _ := b.Find(Query{Worker: workerOf(workers - 1)})
	for _, e := range found {
		if e.Earlier > 0 {
			t.Errorf("entries of the worker with the fewest were merged: %+v", e)
		}
	}
	b.reopen()
}

// TestManyWorkersWithSumsOnly: there is nothing left to merge.
func TestManyWorkersWithSumsOnly(t *testing.T) {
	b := newBench(t)
	for n := range 5000 {
		worker := model.WorkerIDFrom([16]byte{1, byte(n), byte(n >> 8)})
		b.Add(Report{worker, bootOf(1), 1, event.Gap{Cause: event.HostOff, From: b.at, To: b.at, Frames: 1}})
	}
	b.check(t)
	b.sync()
	want := Total{Cause: event.HostOff, Entries: 5000, From: start, To: start, Frames: 5000}
	b.wantTotals(Query{}, want)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b.open()
	b.check(t)
	b.wantTotals(Query{}, want)
}

func TestEntriesEndWithTheRetention(t *testing.T) {
	b := newBench(t)
	b.cfg.Retention = 24 * time.Hour
	b.cfg.MaxPerWorker = 16
	b.reopen()
	const hour = model.Millis(3_600_000)
	for seq := uint64(1); seq <= 48; seq++ {
		b.report(1, 1, seq, event.HostOff)
		b.at += hour
	}
	b.report(2, 1, 1, event.AgentStopped)
	// A clock that is far ahead does not keep an entry alive.
	b.Refuse(Refusal{Worker: workerOf(3), Boot: bootOf(1), Seq: 1, Cause: event.RefusedFuture, At: event.MaxTime})
	// And one that has forgotten the year does not end it.
	b.Refuse(Refusal{Worker: workerOf(3), Boot: bootOf(1), Seq: 2, Cause: event.RefusedTooOld, At: 0})
	b.sync()
	before := b.Stats()
	b.at += 20 * hour
	b.Tend()
	b.check(t)
	if s := b.Stats(); s.Entries >= before.Entries || s.Entries < 4 || s.Workers != 3 {
		t.Errorf("after 20 h: %+v", s)
	}
	b.reopen()
	b.at += 24 * hour
	b.Tend()
	if s := b.Stats(); s.Entries != 0 || s.Workers != 0 || s.Bytes != 0 {
		t.Errorf("after 44 h: %+v", s)
	}
	b.reopen()
	b.wantEntries(nil...)
}

func TestASnapshotIsALedger(t *testing.T) {
	b := newBench(t)
	b.cfg.MaxPerWorker = 16
	b.reopen()
	for seq := uint64(1); seq <= 100; seq++ {
		b.report(1, 1, seq, event.HostOff)
		b.refuse(2, 1, seq, event.RefusedLimit)
	}
	if err := b.Snapshot("/copy"); err != nil {
		t.Fatal(err)
	}
	want := b.all()
	copied, found, err := Open("/copy", b.cfg, Deps{FS: b.disk, Now: b.now})
	if err != nil || len(found) > 0 {
		t.Fatal(found, err)
	}
	got, _ := copied.Find(Query{})
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	copied.check(t)
	if err := copied.Close(); err != nil {
		t.Error(err)
	}
	b.reopen() // it was none of its business
}

func TestFind(t *testing.T) {
	b := newBench(t)
	for seq := uint64(1); seq <= 10; seq++ {
		cause := event.HostOff
		if seq > 5 {
			cause = event.SpoolFull
		}
		at := start + model.Millis(seq)*1000
		b.Add(Report{workerOf(byte(seq % 2)), bootOf(1), seq, event.Gap{Cause: cause, From: at, To: at + 100, FirstSeq: seq, LastSeq: seq}})
	}
	f := func(q Query, more bool, want ...uint64) {
		t.Helper()
		found, gotMore := b.Find(q)
		var got []uint64
		for _, e := range found {
			got = append(got, e.Gap.FirstSeq)
		}
		if diff := cmp.Diff(want, got); diff != "" || gotMore != more {
			t.Errorf("%+v: more is %t (-want +got):\n%s", q, gotMore, diff)
		}
	}
	f(Query{}, false, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	f(Query{Limit: 10}, false, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10)
	f(Query{Limit: 3}, true, 8, 9, 10)
	f(Query{Worker: workerOf(1)}, false, 1, 3, 5, 7, 9)
	f(Query{Worker: workerOf(9)}, false)
	f(Query{From: start + 9000}, false, 9, 10)
	f(Query{From: start + 9100}, false, 9, 10)
	f(Query{From: start + 9101}, false, 10)
	f(Query{To: start + 1999}, false, 1)
	f(Query{To: start + 2000}, false, 1, 2)
	f(Query{Causes: []event.Cause{event.SpoolFull}, Limit: 2}, true, 9, 10)
	b.Refuse(Refusal{Worker: workerOf(3), Boot: bootOf(1), Seq: 33, Cause: event.RefusedTooOld, At: 7}) // its clock is at 1970
	f(Query{From: start, To: start}, false, 33)
	f(Query{From: start + 1, To: start + 2}, false)
	f(Query{To: 7}, false, 33)
	f(Query{Causes: []event.Cause{event.SpoolFull, event.HostOff}, To: start + 3000}, false, 1, 2, 3)
}
