package ledger

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// seeds is how many random lives of a ledger the tests go through; more in a soak:
//
//	go test ./pkg/store/ledger -run Seeds -seeds 20000
var seeds = flag.Int("seeds", 200, "random lives of a ledger to go through")

// TestSeeds leads ledgers through random lives: records in order, twice, again
// after crashes and in any order, disks that fail or are full, kills, power cuts,
// logs written anew, entries merged. In the end every record counts once.
func TestSeeds(t *testing.T) {
	for seed := range uint64(*seeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			l := newLife(t, seed)
			for range 200 {
				l.step()
			}
			l.disk.SetFaults(durabletest.Faults{})
			l.disk.SetRoom(1 << 40)
			l.sync()
			l.crash()
			l.redeliver(l.covered)
			l.judge()
		})
	}
}

// delivered is a record as a worker sends it: the same each time.
type delivered struct {
	worker, boot byte
	seq          uint64
	cause        event.Cause
	at           model.Millis
	samples      uint64
}

// life is a ledger and the stores and workers around it.
type life struct {
	t      *testing.T
	random *rand.Rand
	disk   *durabletest.Disk
	cfg    Config
	ledger *Ledger
	at     model.Millis
	merges bool // entries are merged: what is covered does not come again
	next   map[[2]byte]uint64
	// covered are records that the store has made lasting, behind a Sync; waiting
	// those that would come again.
	covered, waiting []delivered
}

func newLife(t *testing.T, seed uint64) *life {
	l := &life{t: t, random: rand.New(rand.NewPCG(seed, 1)), disk: durabletest.New(seed), cfg: DefaultConfig(), at: start,
		next: map[[2]byte]uint64{}}
	l.cfg.MaxBytes = model.MiB
	if l.merges = l.random.IntN(2) == 0; l.merges {
		l.cfg.MaxPerWorker = 32
	}
	l.open()
	return l
}

func (l *life) open() {
	l.t.Helper()
	ledger, found, err := Open(dir, l.cfg, Deps{FS: l.disk, Now: func() time.Time { return time.UnixMilli(int64(l.at)) }, Random: bytesOf{l.random}})
	if err != nil {
		l.t.Fatal(err)
	}
	for _, d := range found {
		if !d.Torn {
			l.t.Fatalf("damage: %v", d)
		}
	}
	l.ledger = ledger
	ledger.check(l.t)
}

func (l *life) step() {
	l.at += model.Millis(l.random.IntN(60_000))
	switch n := l.random.IntN(100); {
	case n < 55:
		l.deliver()
	case n < 60 && len(l.waiting) > 0:
		l.note(l.waiting[l.random.IntN(len(l.waiting))])
	case n < 65 && len(l.covered) > 0 && !l.merges:
		l.note(l.covered[l.random.IntN(len(l.covered))])
	case n < 85:
		l.sync()
	case n < 87:
		l.ledger.saving.Lock()
		if l.ledger.save() == nil {
			l.ledger.rewrite()
		}
		l.ledger.saving.Unlock()
	case n < 88:
		l.ledger.Tend()
	case n < 90:
		l.disk.SetFaults(durabletest.Faults{Write: 0.3, Sync: 0.3, Name: 0.2, SyncFolder: 0.2, Truncate: 0.1})
	case n < 92:
		l.disk.SetRoom(int64(l.random.IntN(2000)))
	case n < 96:
		l.disk.SetFaults(durabletest.Faults{})
		l.disk.SetRoom(1 << 40)
	default:
		l.crash()
	}
	l.ledger.check(l.t)
}

// deliver makes a record and notes it. So few wait for a sync that none of them is
// merged before it is covered.
func (l *life) deliver() {
	if len(l.waiting) >= 8 {
		return
	}
	d := delivered{worker: byte(l.random.IntN(3)), boot: byte(l.random.IntN(2)), at: l.at - model.Millis(l.random.IntN(100_000)), samples: uint64(l.random.IntN(1000))}
	key := [2]byte{d.worker, d.boot}
	l.next[key] += uint64(1 + l.random.IntN(2)*l.random.IntN(5))
	d.seq = l.next[key]
	causes := []event.Cause{event.RefusedLimit, event.RefusedLimit, event.RefusedLimit, event.RefusedFuture, event.SpoolFull, event.HostOff}
	d.cause = causes[l.random.IntN(len(causes))]
	l.note(d)
	l.waiting = append(l.waiting, d)
}

func (l *life) note(d delivered) {
	l.t.Helper()
	var err error
	if d.cause.Refused() {
		_, err = l.ledger.Refuse(Refusal{Worker: workerOf(d.worker), Boot: bootOf(d.boot), Seq: d.seq, Cause: d.cause, At: d.at, Samples: d.samples})
	} else {
		_, err = l.ledger.Add(Report{workerOf(d.worker), bootOf(d.boot), d.seq,
			event.Gap{Cause: d.cause, From: d.at, To: d.at + 5, Frames: 1, Samples: d.samples, Text: "as it was"}})
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// sync is a group commit: what is covered by it does not come again.
func (l *life) sync() {
	if l.ledger.Sync() == nil && l.random.IntN(4) > 0 { // else the store's own sync fails
		l.covered = append(l.covered, l.waiting...)
		l.waiting = nil
	}
}

// crash ends the process, with or without the power, and delivers again what is
// not covered.
func (l *life) crash() {
	switch l.random.IntN(3) {
	case 0:
		l.disk = l.disk.Cut(l.random.Uint64())
	case 1:
		l.disk.SetFaults(durabletest.Faults{})
		l.disk.SetRoom(1 << 40)
		l.disk.Kill()
	case 2:
		l.disk.SetFaults(durabletest.Faults{})
		l.disk.SetRoom(1 << 40)
		if err := l.ledger.Close(); err != nil {
			l.disk.Kill()
		}
	}
	l.open()
	l.redeliver(l.waiting)
}

func (l *life) redeliver(records []delivered) {
	if l.merges && len(records) > 8 {
		return
	}
	for _, at := range l.random.Perm(len(records)) {
		l.note(records[at])
	}
}

// judge compares the ledger with what was delivered.
func (l *life) judge() {
	l.t.Helper()
	for w := range byte(3) {
		want := map[event.Cause]Total{}
		for _, d := range append(l.covered, l.waiting...) {
			if d.worker != w {
				continue
			}
			to := d.at
			if !d.cause.Refused() {
				to += 5
			}
			sum := want[d.cause]
			sum.add(Total{Cause: d.cause, Entries: 1, From: d.at, To: to, Frames: 1, Samples: d.samples})
			sum.Cause = d.cause
			want[d.cause] = sum
		}
		got := l.ledger.Totals(Query{Worker: workerOf(w)})
		if len(got) != len(want) {
			l.t.Errorf("worker %d: got %d causes, want %d", w, len(got), len(want))
		}
		for _, total := range got {
			sum := want[total.Cause]
			if total.Cause.Refused() {
				sum.Entries = total.Entries // as it came: how many records became one
			}
			if total != sum {
				l.t.Errorf("worker %d: got %+v, want %+v", w, total, sum)
			}
		}
	}
}
