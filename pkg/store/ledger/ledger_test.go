package ledger

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestAReportIsKeptAsItCame(t *testing.T) {
	b := newBench(t)
	gap := event.Gap{Cause: event.SpoolFull, Boot: bootOf(1), From: start - 5000, To: start - 1000, FirstSeq: 7, LastSeq: 9, Frames: 3, Samples: 1500, Text: "64MiB are used"}
	f := func(want bool) {
		t.Helper()
		if added, err := b.Add(Report{workerOf(1), bootOf(2), 4, gap}); err != nil || added != want {
			t.Errorf("added: got %t, %v", added, err)
		}
	}
	f(true)
	f(false)
	b.sync()
	b.at += 1000
	f(false)
	b.reopen()
	f(false)
	b.wantEntries(Entry{Worker: workerOf(1), Gap: gap, Noted: start})
	b.wantTotals(Query{Worker: workerOf(1)}, Total{Cause: event.SpoolFull, Entries: 1, From: start - 5000, To: start - 1000, Frames: 3, Samples: 1500})
	b.wantTotals(Query{Worker: workerOf(2)}, []Total{}...)
	if s := b.Stats(); s.Repeated != 1 || s.Entries != 1 || s.Workers != 1 {
		t.Errorf("stats: got %+v", s)
	}
}

// TestALossThatIsToldAgainCountsOnce: a worker that is killed forgets that its report has
// arrived, and another process of it tells of the same records.
func TestALossThatIsToldAgainCountsOnce(t *testing.T) {
	b := newBench(t)
	gap := event.Gap{Cause: event.SpoolOld, Boot: bootOf(1), From: start - 5000, To: start - 1000, FirstSeq: 7, LastSeq: 9, Frames: 3, Samples: 1500}
	f := func(boot byte, seq uint64, gap event.Gap, want bool) {
		t.Helper()
		if added, err := b.Add(Report{workerOf(1), bootOf(boot), seq, gap}); err != nil || added != want {
			t.Errorf("%+v: added: got %t, %v", gap, added, err)
		}
	}
	f(2, 4, gap, true)
	f(2, 5, gap, false)
	f(3, 4, gap, false)
	b.sync()
	b.reopen()
	f(3, 4, gap, false)
	gap.LastSeq = 10 // others
	f(3, 4, gap, true)
	stop := event.Gap{Cause: event.AgentStopped, From: start - 900, To: start} // may come twice
	f(3, 5, stop, true)
	f(3, 6, stop, true)
}

func TestEvents(t *testing.T) {
	b := newBench(t)
	gap := event.Gap{Cause: event.HostOff, From: start - 5000, To: start}
	for range 2 {
		for seq, payload := range []string{"", string(event.Append(nil, event.OfGap(gap))), `{"type":"oom_kill"}`, `{"type":`} {
			if err := b.Event(workerOf(1), bootOf(1), uint64(seq), []byte(payload)); err != nil {
				t.Errorf("%s: %v", payload, err)
			}
		}
	}
	b.wantEntries(Entry{Worker: workerOf(1), Gap: gap, Noted: start})
	if s := b.Stats(); s.Repeated != 1 || s.Others != 2 || s.Malformed != 4 {
		t.Errorf("stats: got %+v", s)
	}
}

func TestReportsAreToldApartByTheirRecord(t *testing.T) {
	b := newBench(t)
	f := func(worker, boot byte, seq uint64, want bool) {
		t.Helper()
		if got := b.report(worker, boot, seq, event.HostOff); got != want {
			t.Errorf("worker %d, boot %d, record %d: added is %t", worker, boot, seq, got)
		}
	}
	f(1, 1, 1, true)
	f(1, 1, 2, true)
	f(1, 2, 1, true)
	f(2, 1, 1, true)
	f(1, 1, 1, false)
	f(2, 1, 1, false)
	if got := len(b.all()); got != 4 {
		t.Errorf("got %d entries", got)
	}
}

func TestRefusalsThatFollowEachOtherAreOneEntry(t *testing.T) {
	b := newBench(t)
	for seq := uint64(10); seq < 20; seq++ {
		b.refuse(1, 1, seq, event.RefusedFuture)
		b.at += 1000
		if seq%3 == 0 {
			b.sync()
		}
	}
	b.refuse(1, 1, 25, event.RefusedFuture) // what is between was taken, or is another stream's
	if b.refuse(1, 1, 15, event.RefusedFuture) || !b.refuse(1, 1, 21, event.RefusedLimit) {
		t.Error("record 15 was new, or 21 was not")
	}
	want := []Entry{
		{Worker: workerOf(1), Noted: start + 10_000, Gap: event.Gap{Cause: event.RefusedFuture, Boot: bootOf(1), From: start, To: start + 10_000,
			FirstSeq: 10, LastSeq: 25, Frames: 11, Samples: 5500}},
		{Worker: workerOf(1), Noted: start + 10_000, Gap: event.Gap{Cause: event.RefusedLimit, Boot: bootOf(1), From: start + 10_000, To: start + 10_000,
			FirstSeq: 21, LastSeq: 21, Frames: 1, Samples: 500}},
	}
	b.wantEntries(want...)
	b.reopen()
	b.wantEntries(want...)
	for seq := range uint64(40) {
		if was := seq >= 10 && seq < 20 || seq == 25 || seq == 21; seq > 0 && b.refuse(1, 1, seq, event.RefusedFuture) == was {
			t.Errorf("record %d: known is %t, want %t", seq, !was, was)
		}
	}
}

func TestWhatDoesNotFollowIsAnEntryOfItsOwn(t *testing.T) {
	b := newBench(t)
	f := func(boot byte, seq uint64, after time.Duration, cause event.Cause, want int) {
		t.Helper()
		b.at += model.Millis(after.Milliseconds())
		b.refuse(1, boot, seq, cause)
		if got := len(b.all()); got != want {
			t.Errorf("boot %d, record %d, %s: %d entries, want %d", boot, seq, after, got, want)
		}
	}
	f(1, 100, 0, event.RefusedLimit, 1)
	f(1, 101, time.Minute, event.RefusedLimit, 1)
	f(1, 102, 16*time.Minute, event.RefusedLimit, 2) // too long after
	f(1, 103, 0, event.RefusedTooOld, 3)             // another cause
	f(2, 104, 0, event.RefusedLimit, 4)              // another boot
	f(1, 50, 0, event.RefusedLimit, 5)               // delivered later: it goes on by itself
	f(1, 51, 0, event.RefusedLimit, 5)
	f(1, 105, 0, event.RefusedLimit, 5)
	f(1, 52, 0, event.RefusedLimit, 5)
	b.reopen()
	f(1, 106, 0, event.RefusedLimit, 5)
	f(1, 53, 0, event.RefusedLimit, 5)
	b.check(t)
}

func TestOddRefusals(t *testing.T) {
	b := newBench(t)
	f := func(r Refusal, want event.Gap) {
		t.Helper()
		r.Worker, r.Boot = workerOf(1), bootOf(1)
		if _, err := b.Refuse(r); err != nil {
			t.Fatal(err)
		}
		for _, e := range b.all() {
			if want.Boot = bootOf(1); e.Gap == want {
				return
			}
		}
		t.Errorf("%+v: got %+v", r, b.all())
	}
	f(Refusal{Seq: 1, Cause: "who knows", At: -5}, event.Gap{Cause: event.RefusedOther, FirstSeq: 1, LastSeq: 1, Frames: 1})
	f(Refusal{Seq: 2, Cause: event.RefusedFuture, At: 1 << 62, Text: "a\nb"}, event.Gap{Cause: event.RefusedFuture, From: event.MaxTime, To: event.MaxTime, FirstSeq: 2, LastSeq: 2, Frames: 1, Text: "a?b"})
	b.reopen()
	for _, r := range []Refusal{{}, {Worker: workerOf(1), Boot: bootOf(1)}, {Worker: workerOf(1), Seq: 1}, {Boot: bootOf(1), Seq: 1}} {
		if _, err := b.Refuse(r); !errors.Is(err, ErrInvalid) {
			t.Errorf("%+v: got %v", r, err)
		}
		if _, err := b.Add(Report{Worker: r.Worker, Boot: r.Boot, Seq: r.Seq}); !errors.Is(err, ErrInvalid) {
			t.Errorf("report of %+v: got %v", r, err)
		}
	}
}

// TestAStreamThatIsRefusedAmongOthers: its records alternate with those of streams
// that are taken.
func TestAStreamThatIsRefusedAmongOthers(t *testing.T) {
	b := newBench(t)
	const refused = 10_000
	for i := range uint64(refused) {
		b.refuse(1, 1, 3*i+1, event.RefusedLimit)
		b.at += 1000
		if i%50 == 0 {
			b.sync()
		}
	}
	b.wantTotals(Query{}, Total{Cause: event.RefusedLimit, Entries: 10, From: start, To: start + (refused-1)*1000, Frames: refused, Samples: refused * 500})
	b.reopen()
	for i := range uint64(3 * refused) {
		if b.refuse(1, 1, i+1, event.RefusedLimit) == (i%3 == 0) {
			t.Fatalf("record %d is not recognised as it should", i+1)
		}
	}
	b.check(t)
}

func TestAFullDisk(t *testing.T) {
	b := newBench(t)
	b.report(1, 1, 1, event.HostOff)
	b.sync()
	b.disk.SetRoom(0)
	for seq := uint64(2); seq < 3000; seq++ {
		b.report(1, 1, seq, event.HostOff)
		b.refuse(2, 1, seq, event.RefusedLimit)
		if seq%100 == 0 {
			if err := b.Sync(); !errors.Is(err, durable.ErrFull) {
				t.Fatalf("sync: got %v", err)
			}
		}
	}
	b.disk.SetRoom(1 << 30)
	b.sync()
	b.check(t)
	b.disk.Kill()
	before := b.Totals(Query{})
	b.open()
	b.wantTotals(Query{}, before...)
	if s := b.Stats(); s.SyncErrors != 0 || s.Noted[event.HostOff].Records != 0 {
		t.Errorf("stats of a fresh process: got %+v", s)
	}
}

func TestDisksThatFail(t *testing.T) {
	for seed := range uint64(50) {
		b := &bench{t: t, disk: durabletest.New(seed), cfg: DefaultConfig(), at: start}
		b.open()
		b.disk.SetFaults(durabletest.Faults{Write: 0.2, Sync: 0.2, Name: 0.2, SyncFolder: 0.2})
		for seq := uint64(1); seq < 200; seq++ {
			b.report(1, 1, seq, event.HostOff)
			b.refuse(2, 1, seq, event.RefusedLimit)
			if b.Sync() == nil && seq%20 == 0 {
				b.saving.Lock()
				b.rewrite()
				b.saving.Unlock()
			}
		}
		b.disk.SetFaults(durabletest.Faults{})
		b.sync()
		before := b.Totals(Query{})
		b.disk = b.disk.Cut(seed)
		b.open()
		b.wantTotals(Query{}, before...)
	}
}

func TestTheFolderHasOneOwner(t *testing.T) {
	b := newBench(t)
	if _, _, err := Open(dir, b.cfg, Deps{FS: b.disk}); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("got %v", err)
	}
	for range 2 {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	b.report(1, 1, 1, event.HostOff)
	if err := b.Sync(); !errors.Is(err, durable.ErrClosed) {
		t.Errorf("sync after close: got %v", err)
	}
}

func TestConfig(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	err := Config{}.Validate()
	for _, key := range []string{"max_bytes", "retention", "max_per_worker"} {
		if err == nil || !strings.Contains(err.Error(), key) {
			t.Errorf("nothing about %s: %v", key, err)
		}
	}
	if _, _, err := Open(dir, Config{}, Deps{FS: durabletest.New(1)}); err == nil {
		t.Error("opened with an empty configuration")
	}
}
