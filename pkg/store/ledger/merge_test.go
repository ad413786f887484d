package ledger

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
	"github.com/cloudless-fleet/cloudless/pkg/event"
)

func report(b *bench, worker, boot byte, seq uint64) {
	b.t.Helper()
	gap := event.Gap{Cause: event.SpoolFull, From: start, To: start + 1000, Boot: bootOf(boot), FirstSeq: seq, LastSeq: seq + 9, Frames: 10, Samples: 5000}
	if _, err := b.Add(Report{Worker: workerOf(worker), Boot: bootOf(boot), Seq: seq + 100, Gap: gap}); err != nil {
		b.t.Fatal(err)
	}
}

func refuse(b *bench, worker, boot byte, seqs ...uint64) {
	b.t.Helper()
	for _, seq := range seqs {
		if _, err := b.Refuse(Refusal{Worker: workerOf(worker), Boot: bootOf(boot), Seq: seq, Cause: event.RefusedFuture, At: start, Samples: 500}); err != nil {
			b.t.Fatal(err)
		}
	}
}

// other is a ledger on a disk of its own.
func (b *bench) other() *bench {
	o := &bench{t: b.t, disk: durabletest.New(2), cfg: b.cfg, at: b.at}
	o.open()
	return o
}

func TestMergeTakesWhatIsMissing(t *testing.T) {
	b := newBench(t)
	report(b, 1, 1, 1)
	refuse(b, 1, 1, 40, 41)
	o := b.other()
	report(o, 1, 1, 1)         // known
	report(o, 1, 2, 1)         // of another boot
	report(o, 2, 1, 1)         // of another worker
	refuse(o, 1, 1, 40)        // a beginning of what is here
	refuse(o, 2, 3, 7, 8, 100) // new
	o.at += 5000
	want := o.other()
	report(want, 1, 1, 1)
	for seq := uint64(1); seq <= 2; seq++ {
		if added := b.Merge(o.Ledger); (added == 3) != (seq == 1) {
			t.Errorf("merge %d: %d were added", seq, added)
		}
	}
	b.sync()
	b.reopen()
	if got, _ := b.Find(Query{Worker: workerOf(1)}); len(got) != 3 {
		t.Errorf("of worker 1: %+v", got)
	}
	before, _ := o.Find(Query{Worker: workerOf(2)})
	after, _ := b.Find(Query{Worker: workerOf(2)})
	if diff := cmp.Diff(before, after); diff != "" {
		t.Errorf("of worker 2 (-there +here):\n%s", diff)
	}
	if added := b.Merge(o.Ledger); added != 0 {
		t.Errorf("once more: %d were added", added)
	}
	// The records that were merged are known now.
	refuse(b, 2, 3, 7)
	if again, _ := b.Find(Query{Worker: workerOf(2)}); !cmp.Equal(again, after) {
		t.Errorf("a record was noted twice: %+v", again)
	}
}

func TestMergedEntriesStayMerged(t *testing.T) {
	b := newBench(t)
	o := b.other()
	o.cfg.MaxPerWorker = 20
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	o.open()
	for n := range uint64(100) {
		report(o, 1, 1, 1+10*n)
	}
	b.Merge(o.Ledger)
	if added := b.Merge(o.Ledger); added != 0 {
		t.Errorf("once more: %d were added", added)
	}
	report(b, 1, 9, 1)
	b.sync()
	b.reopen()
	want := o.Totals(Query{})
	want[0].Entries, want[0].Frames, want[0].Samples = 101, 1010, 505_000
	if diff := cmp.Diff(want, b.Totals(Query{})); diff != "" {
		t.Errorf("totals (-want +got):\n%s", diff)
	}
}
