package journal_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/journal"
)

// seeds is how many random lives of a journal the tests go through; more in a soak:
//
//	go test ./pkg/store/journal -run Seeds -seeds 20000
var seeds = flag.Int("seeds", 200, "random lives of a journal to go through")

// TestSeeds leads journals through random lives: appends of all kinds, syncs, passes,
// full disks, disks that fail, kills, power cuts. What was synced is there, once, in
// order; what is there is a beginning of what was appended.
func TestSeeds(t *testing.T) {
	for seed := range uint64(*seeds) {
		l := &life{t: t, random: rand.New(rand.NewPCG(seed, 1)), disk: durabletest.New(seed), next: 1, synced: 1}
		l.reopen()
		for range 60 {
			l.step()
		}
		l.calm()
		check(t, l.journal.Close())
		l.synced = l.next
		l.reopen()
		check(t, l.journal.Close())
		if t.Failed() {
			t.Fatalf("seed %d\n%s", seed, strings.Join(l.story, "\n"))
		}
	}
}

// life is a journal and what is to be in it.
type life struct {
	t       *testing.T
	random  *rand.Rand
	disk    *durabletest.Disk
	journal *journal.Journal
	entries map[uint64]journal.Entry
	next    uint64
	synced  uint64
	dropped uint64 // all up to it may be gone
	faulty  bool
	story   []string
}

func (l *life) tell(format string, args ...any) {
	l.story = append(l.story, fmt.Sprintf(format, args...))
}

func (l *life) step() {
	switch n := l.random.IntN(100); {
	case n < 55:
		for range 1 + l.random.IntN(5) {
			l.append()
		}
	case n < 70:
		err := l.journal.Sync()
		l.tell("sync: %v", err)
		l.allowed(err)
		if err == nil {
			l.synced = l.next
		}
	case n < 76:
		l.pass()
	case n < 84:
		l.view()
	case n < 88:
		l.tell("kill")
		l.disk.Kill()
		l.reopen()
	case n < 94:
		l.tell("cut")
		l.disk = l.disk.Cut(l.random.Uint64())
		l.faulty = false
		l.reopen()
	default:
		l.trouble()
	}
}

// pass does what a pass of the store does to the journal.
func (l *life) pass() {
	through := l.next - 1
	if err := l.journal.Rotate(); err != nil {
		l.tell("rotate: %v", err)
		l.allowed(err)
		return
	}
	l.synced, l.dropped = l.next, max(l.dropped, through)
	err := l.journal.DropThrough(through)
	l.tell("drop through %d: %v", through, err)
	l.allowed(err)
	if err == nil && l.journal.Oldest() <= through {
		l.t.Errorf("dropped through %d, the oldest is %d", through, l.journal.Oldest())
	}
}

func (l *life) calm() {
	l.disk.SetFaults(durabletest.Faults{})
	l.disk.SetRoom(1 << 40)
	l.faulty = false
}

func (l *life) trouble() {
	if l.faulty {
		l.tell("calm")
		l.calm()
		return
	}
	l.tell("trouble")
	l.faulty = true
	if l.random.IntN(2) == 0 {
		l.disk.SetRoom(l.random.Int64N(4000))
		return
	}
	l.disk.SetFaults(durabletest.Faults{Write: 0.2, Sync: 0.4, Name: 0.3, SyncFolder: 0.3})
}

func (l *life) allowed(err error) {
	if err != nil && (!l.faulty || !errors.Is(err, durable.ErrFull) && !errors.Is(err, durable.ErrDisk)) {
		l.t.Errorf("an error with faults %v: %v", l.faulty, err)
	}
}

func (l *life) append() {
	e := l.entry()
	index, err := put(l.journal, e)
	l.tell("append %v: %d, %v", e.Kind, index, err)
	l.allowed(err)
	if err != nil {
		return
	}
	if index != l.next {
		l.t.Errorf("appended as %d, want %d", index, l.next)
	}
	l.entries[index] = e
	l.next++
	l.synced = max(l.synced, l.journal.Synced())
}

func (l *life) entry() journal.Entry {
	r := l.random
	e := journal.Entry{Kind: journal.Kind(1 + r.IntN(7))}
	any := make([]byte, r.IntN(300))
	for i := range any {
		any[i] = byte(r.Uint32())
	}
	id := [16]byte{}
	binary.LittleEndian.PutUint64(id[:], r.Uint64())
	switch e.Kind {
	case journal.KindSession:
		e.Session, e.Worker, e.Boot, e.Source, e.Backfill = r.Uint64(), id, id, r.Uint32(), r.IntN(2) == 0
	case journal.KindRecord:
		e.Session, e.Raw = r.Uint64()>>r.IntN(64), any
	case journal.KindBase:
		e.Session, e.Stream, e.Schema, e.State = r.Uint64(), model.StreamID(r.Uint32()), id, any
	case journal.KindCoverage:
		e.Worker, e.Heard, e.Intervals = id, model.Millis(r.Int64()), []journal.Interval{}
		for from := uint64(1); r.IntN(5) > 0; {
			from += r.Uint64N(1000)
			to := from + r.Uint64N(1000)
			e.Intervals = append(e.Intervals, journal.Interval{From: from, To: to})
			from = to + 2
		}
	case journal.KindEnd:
		e.Source, e.At = r.Uint32(), -model.Millis(r.Int64())
	case journal.KindSealed:
		e.Volume, e.Source, e.Stream = r.Uint64(), r.Uint32(), model.StreamID(r.Uint32())
	case journal.KindPassed:
		e.Session, e.From = r.Uint64(), 1+r.Uint64N(1000)
		e.To = e.From + r.Uint64N(1000)
	case journal.KindRefused:
		e.Session, e.Seq, e.At, e.Samples, e.Cause = r.Uint64(), 1+r.Uint64N(1000), model.Millis(r.Int64()), r.Int64N(1000)-1, string(any)
	}
	return e
}

func (l *life) view() {
	v := l.journal.Viewer()
	defer v.Close()
	for range 20 {
		index := l.journal.Oldest() + l.random.Uint64N(l.next-l.journal.Oldest()+1)
		got, err := v.Entry(index)
		want, there := l.entries[index]
		switch {
		case !there && errors.Is(err, durable.ErrDropped):
		case err != nil || !same(got, want):
			l.t.Errorf("viewed record %d: got %+v and %v, want %+v", index, got, err, want)
		}
	}
}

// same compares entries by their bytes.
func same(a, b journal.Entry) bool {
	one, oneErr := journal.AppendEntry(nil, a)
	other, otherErr := journal.AppendEntry(nil, b)
	return oneErr == nil && otherErr == nil && bytes.Equal(one, other)
}

// reopen opens the journal and compares it with what is known.
func (l *life) reopen() {
	opts := journal.Options{FS: l.disk, SegmentBytes: 4 * model.KiB, MaxUnsynced: 4 * model.KiB, Buffer: 700}
	j, found, err := journal.Open("/journal", opts)
	if err != nil {
		l.tell("open: %v", err)
		l.allowed(err)
		l.calm()
		j, found, err = journal.Open("/journal", opts)
		check(l.t, err)
	}
	for _, d := range found {
		if !d.Torn {
			l.t.Errorf("reported as damaged: %v", d)
		}
	}
	l.journal = j
	next := j.Next()
	l.tell("open: %d to %d, was %d, synced %d", j.Oldest(), next, l.next, l.synced)
	if next > l.next || next < l.synced {
		l.t.Errorf("the next is %d, was %d, synced %d", next, l.next, l.synced)
	}
	first, got, damage := replay(l.t, j)
	for _, d := range damage {
		l.t.Error(d)
	}
	if first > l.dropped+1 || uint64(len(got)) != next-j.Oldest() {
		l.t.Errorf("%d records from %d on, want those from %d on", len(got), first, l.dropped+1)
	}
	entries := map[uint64]journal.Entry{}
	for i, e := range got {
		index := first + uint64(i)
		if want, known := l.entries[index]; !same(e, want) && (known || index > l.dropped) {
			l.t.Errorf("record %d is %+v, want %+v", index, e, want)
		}
		entries[index] = e
	}
	l.entries, l.next = entries, next
	l.synced = max(j.Synced(), min(l.synced, next))
}
