package ledger

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

const dir = "/gaps"

// start is the time at which tests begin.
const start model.Millis = 1_795_311_000_000

func workerOf(n byte) model.WorkerID { return model.WorkerIDFrom([16]byte{n}) }
func bootOf(n byte) model.BootID     { return model.BootIDFrom([16]byte{0xb0, n}) }

// bench is a ledger on a disk in memory, and its clock.
type bench struct {
	*Ledger
	t    testing.TB
	disk *durabletest.Disk
	cfg  Config
	at   model.Millis
}

func newBench(t testing.TB) *bench {
	b := &bench{t: t, disk: durabletest.New(1), cfg: DefaultConfig(), at: start}
	b.cfg.MaxBytes = model.MiB
	b.open()
	return b
}

func (b *bench) now() time.Time { return time.UnixMilli(int64(b.at)) }

func (b *bench) open() {
	b.t.Helper()
	l, found, err := Open(dir, b.cfg, Deps{FS: b.disk, Now: b.now})
	if err != nil {
		b.t.Fatal(err)
	}
	for _, d := range found {
		b.t.Errorf("damage: %v", d)
	}
	b.Ledger = l
}

func (b *bench) sync() {
	b.t.Helper()
	if err := b.Sync(); err != nil {
		b.t.Fatal(err)
	}
}

// reopen closes and opens the ledger, and checks that it says the same.
func (b *bench) reopen() {
	b.t.Helper()
	before, totals := b.all(), b.Totals(Query{})
	if err := b.Close(); err != nil {
		b.t.Fatal(err)
	}
	b.open()
	if diff := cmp.Diff(before, b.all()); diff != "" {
		b.t.Errorf("opened again (-before +after):\n%s", diff)
	}
	if diff := cmp.Diff(totals, b.Totals(Query{})); diff != "" {
		b.t.Errorf("totals of it, opened again (-before +after):\n%s", diff)
	}
}

func (b *bench) all() []Entry {
	all, _ := b.Find(Query{})
	return all
}

// report notes a report of an hour in which nothing was sampled, by that record.
func (b *bench) report(worker, boot byte, seq uint64, cause event.Cause) bool {
	b.t.Helper()
	added, err := b.Add(Report{workerOf(worker), bootOf(boot), seq, event.Gap{Cause: cause, From: b.at - 3_600_000, To: b.at}})
	if err != nil {
		b.t.Fatal(err)
	}
	return added
}

// refuse notes a refused frame of the present time with 500 samples.
func (b *bench) refuse(worker, boot byte, seq uint64, cause event.Cause) bool {
	b.t.Helper()
	added, err := b.Refuse(Refusal{Worker: workerOf(worker), Boot: bootOf(boot), Seq: seq, Cause: cause, At: b.at, Samples: 500})
	if err != nil {
		b.t.Fatal(err)
	}
	return added
}

func (b *bench) wantEntries(want ...Entry) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.all()); diff != "" {
		b.t.Errorf("entries (-want +got):\n%s", diff)
	}
}

func (b *bench) wantTotals(q Query, want ...Total) {
	b.t.Helper()
	if diff := cmp.Diff(want, b.Totals(q)); diff != "" {
		b.t.Errorf("totals (-want +got):\n%s", diff)
	}
}

// check looks for contradictions in the state.
func (l *Ledger) check(t testing.TB) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var bytes int64
	count := 0
	for id, w := range l.workers {
		own := overhead * int64(len(w.earlier))
		indexed := 0
		for _, e := range w.entries {
			own += e.size()
			if e.gone || e.id <= w.through || e.boot.worker != w || !e.boot.knows(e.seqs.last) || e.seqs.last > e.boot.high {
				t.Errorf("worker %s: entry %d is in the wrong place", id, e.id)
			}
		}
		for _, b := range w.boots {
			indexed += len(b.refusals) + len(b.reports)
		}
		if own != w.bytes || indexed != len(w.entries) {
			t.Errorf("worker %s: %d bytes and %d entries by boot, want %d and %d", id, w.bytes, indexed, own, len(w.entries))
		}
		if len(w.entries) > l.cfg.MaxPerWorker || len(w.earlier) > maxCauses {
			t.Errorf("worker %s: %d entries, %d sums", id, len(w.entries), len(w.earlier))
		}
		bytes += own
		count += len(w.entries)
	}
	if bytes != l.bytes || count != l.count {
		t.Errorf("%d bytes of %d entries, want %d of %d", l.bytes, l.count, bytes, count)
	}
}

type bytesOf struct{ *rand.Rand }

func (b bytesOf) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b.Uint32())
	}
	return len(p), nil
}
