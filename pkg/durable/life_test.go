package durable_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// TestSeeds leads logs through random lives: appends, syncs, drops, full disks,
// disks that fail, kills, power cuts. What was synced is there, once, in order;
// what is there was appended; no synced record is reported as lost.
func TestSeeds(t *testing.T) {
	for seed := range uint64(*seeds) {
		func() {
			l := newLife(seed)
			defer func() {
				if r := recover(); r != nil {
					t.Fatalf("seed %d: %v\n%s\n%s", seed, r, strings.Join(l.story, "\n"), debug.Stack())
				}
			}()
			for range 80 {
				l.step()
			}
			l.disk.SetFaults(durabletest.Faults{})
			l.disk.SetRoom(1 << 40)
			l.end()
			l.reopen()
			l.end()
		}()
	}
}

const lifeDir = "/log"

type kept struct {
	index uint64
	data  []byte
}

// life is a log and what is to be true of it.
type life struct {
	random  *rand.Rand
	seed    uint64
	disk    *durabletest.Disk
	log     *durable.Log
	opts    durable.Options
	now     time.Time
	serial  uint64
	records []kept // that were appended and are to be there as long as nothing goes wrong
	next    uint64
	utmost  uint64 // to which Advance was called
	// sure is the index behind the last record that was reported to be on disk;
	// flushed the same for a process that ends, while no fault is on.
	sure, flushed uint64
	oldest, gone  uint64 // gone: below it everything was dropped once
	faulty        bool
	viewers       []*durable.Viewer
	story         []string
}

func newLife(seed uint64) *life {
	l := &life{random: rand.New(rand.NewPCG(seed, 3)), seed: seed, disk: durabletest.New(seed), now: time.Unix(1e9, 0), next: 1, sure: 1, oldest: 1, flushed: 1}
	l.opts = durable.Options{
		SegmentBytes: 4 * model.KiB, MaxUnsynced: 4 * model.KiB, Buffer: model.Bytes(1 + l.random.IntN(2000)),
		Now: func() time.Time { return l.now }, Random: bytesOf{l.random}, OnDrop: l.dropped,
	}
	if l.random.IntN(2) == 0 {
		l.opts.MaxBytes = model.Bytes(8+l.random.IntN(40)) * model.KiB
	}
	if l.random.IntN(3) == 0 {
		l.opts.MaxAge = time.Hour
	}
	l.use(l.disk)
	l.reopen()
	return l
}

// bytesOf is a reader of random bytes.
type bytesOf struct{ *rand.Rand }

func (b bytesOf) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b.Uint32())
	}
	return len(p), nil
}

func (l *life) use(d *durabletest.Disk) {
	l.disk, l.opts.FS = d, d
	d.SetClock(l.opts.Now)
}

func (l *life) tell(format string, args ...any) {
	l.story = append(l.story, fmt.Sprintf(format, args...))
}

func fail(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

func (l *life) step() {
	l.now = l.now.Add(time.Duration(l.random.IntN(300)) * time.Second)
	switch n := l.random.IntN(100); {
	case n < 45:
		l.append()
	case n < 62:
		l.sync()
	case n < 67:
		l.flush()
	case n < 68:
		synced := l.log.Synced()
		err := l.log.Rotate()
		l.tell("rotate: %v", err)
		l.allowed(err)
		l.forget()
		if err == nil && l.log.Synced() != l.next || l.log.Synced() < synced {
			fail("rotated, synced up to %d, want %d", l.log.Synced(), l.next)
		}
		if err == nil {
			err := l.log.DropThrough(l.next - 1)
			l.tell("drop all: %v", err)
			l.allowed(err)
			if oldest := l.log.Oldest(); err == nil && oldest != l.next {
				fail("dropped all, the oldest is %d, want %d", oldest, l.next)
			}
			l.forget()
		}
	case n < 71:
		through := l.oldest + l.random.Uint64N(l.next-l.oldest+1)
		err := l.log.DropThrough(through)
		l.tell("drop through %d: %v", through, err)
		l.allowed(err)
		for _, r := range l.records {
			if oldest := l.log.Oldest(); r.index > through && r.index < oldest {
				fail("DropThrough(%d): the oldest is %d", through, oldest)
			}
		}
		l.forget()
	case n < 74:
		err := l.log.Trim()
		l.tell("trim: %v", err)
		l.allowed(err)
		l.forget()
	case n < 76:
		to := l.next + l.random.Uint64N(50)
		err := l.log.Advance(to)
		l.tell("advance: %v", err)
		l.utmost = max(l.utmost, to)
		l.allowed(err)
		if err == nil && to > l.next {
			l.sure, l.flushed, l.next = to, to, to
		}
		if next := l.log.Next(); next != l.next {
			fail("advanced to %d, want %d", next, l.next)
		}
		l.forget()
	case n < 84:
		l.read()
	case n < 88:
		l.end()
		l.viewAfterEnd()
		l.reopen()
	case n < 92:
		l.tell("kill")
		l.disk.Kill()
		if l.flushed > l.sure && !l.faulty {
			l.sure = l.flushed
		}
		l.reopen()
	case n < 96:
		l.tell("cut")
		l.use(l.disk.Cut(l.random.Uint64()))
		l.reopen()
	default:
		l.trouble()
	}
}

// trouble switches faults on or off.
func (l *life) trouble() {
	if l.faulty {
		l.tell("no faults")
		l.disk.SetFaults(durabletest.Faults{})
		l.disk.SetRoom(1 << 40)
		l.faulty = false
		l.flushed = l.sure
		return
	}
	l.faulty = true
	if l.random.IntN(2) == 0 {
		room := l.random.Int64N(3000)
		l.tell("room for %d", room)
		l.disk.SetRoom(room)
		return
	}
	chance := func() float64 {
		if l.random.IntN(2) == 0 {
			return 0
		}
		return l.random.Float64() * 0.6
	}
	f := durabletest.Faults{Write: chance(), Sync: chance(), Name: chance(), SyncFolder: chance(), Truncate: chance()}
	l.tell("faults %+v", f)
	l.disk.SetFaults(f)
}

// allowed checks that errors come only when there is a reason, and are typed.
func (l *life) allowed(err error) {
	if err != nil && !l.faulty {
		fail("no fault, but: %v", err)
	}
	if err != nil && !errors.Is(err, durable.ErrFull) && !errors.Is(err, durable.ErrDisk) {
		fail("untyped: %v", err)
	}
}

func (l *life) append() {
	var batch [][]byte
	for range 1 + l.random.IntN(6) {
		batch = append(batch, l.data())
	}
	l.appendBatch(batch)
}

func (l *life) appendBatch(batch [][]byte) {
	first, err := l.log.Append(batch...)
	l.tell("append %d: %d, %v", len(batch), first, err)
	l.allowed(err)
	l.forget()
	if err != nil {
		if next := l.log.Next(); next != l.next {
			fail("append failed, but the next is %d, was %d", next, l.next)
		}
		return
	}
	if first != l.next {
		fail("appended as %d, want %d", first, l.next)
	}
	for _, data := range batch {
		l.records = append(l.records, kept{l.next, data})
		l.next++
	}
}

// data is a record that no other equals, but for the empty ones.
func (l *life) data() []byte {
	l.serial++
	data := binary.BigEndian.AppendUint64(nil, l.serial)
	switch l.random.IntN(12) {
	case 0:
		return nil
	case 1:
		return append(data, make([]byte, 6000)...)
	case 2: // what looks like the log itself
		names := l.disk.Names()
		for _, name := range names[max(0, len(names)-2):] {
			file, _ := l.disk.Content(name)
			data = append(data, file[l.random.IntN(len(file)+1):]...)
		}
		return data[:min(len(data), 20000)]
	}
	return append(data, make([]byte, l.random.IntN(400))...)
}

func (l *life) sync() {
	want := l.next
	l.disk.During(l.appendMeanwhile)
	l.view()
	err := l.log.Sync()
	l.disk.During(nil)
	l.tell("sync: %v; %d of %d", err, l.log.Synced(), l.next)
	l.allowed(err)
	if err == nil && l.log.Synced() < want || l.log.Synced() > l.next {
		fail("synced up to %d, want %d", l.log.Synced(), want)
	}
	l.sure = max(l.sure, l.log.Synced())
	l.flushed = max(l.flushed, l.sure)
}

// appendMeanwhile appends while a segment is being synced, if there is room: a new
// segment would wait for the sync.
func (l *life) appendMeanwhile(name string) {
	file, _ := l.disk.Content(name)
	const most = 100
	if strings.HasSuffix(name, ".new") || len(file)+most > 4096 || l.log.Stats().Unsynced+most > 4096 || l.opts.MaxAge > 0 {
		return
	}
	l.disk.During(nil)
	l.view()
	defer l.view()
	l.serial++
	l.appendBatch([][]byte{binary.BigEndian.AppendUint64(nil, l.serial), make([]byte, l.random.IntN(30))})
}

func (l *life) flush() {
	err := l.log.Flush()
	l.tell("flush: %v", err)
	l.allowed(err)
	if err == nil && !l.faulty {
		l.flushed = l.next
	}
}

func (l *life) dropped(d durable.Drop) {
	l.tell("dropped %d to %d: %s", d.First, d.End-1, d.Why)
	if d.First < l.oldest || l.opts.MaxBytes == 0 && d.Why == durable.DroppedFull || l.opts.MaxAge == 0 && d.Why == durable.DroppedOld {
		fail("dropped %+v; the oldest was %d", d, l.oldest)
	}
	l.oldest = d.First
}

// forget drops from what is expected what the log has dropped. It notes also what
// Append and others have synced.
func (l *life) forget() {
	l.sure = max(l.sure, l.log.Synced())
	l.flushed = max(l.flushed, l.sure)
	oldest := l.log.Oldest()
	if oldest < l.oldest {
		fail("the oldest is %d, was %d", oldest, l.oldest)
	}
	l.oldest, l.gone = oldest, max(l.gone, oldest)
	for len(l.records) > 0 && l.records[0].index < oldest {
		l.records = l.records[1:]
	}
}

func (l *life) end() {
	err := l.log.Close()
	l.tell("close: %v", err)
	l.allowed(err)
	if err == nil {
		l.sure = l.next
	}
}

// reopen opens the log and compares it with what is known.
func (l *life) reopen() {
	log, found, err := durable.Open(lifeDir, l.opts)
	if err != nil {
		l.tell("open: %v", err)
		l.allowed(err)
		l.tell("no faults")
		l.disk.SetFaults(durabletest.Faults{})
		l.disk.SetRoom(1 << 40)
		if log, found, err = durable.Open(lifeDir, l.opts); err != nil {
			fail("open: %v", err)
		}
		l.faulty = false
	}
	l.log, l.viewers = log, nil
	next := log.Next()
	l.tell("open: %d to %d, synced %d, was %d to %d, synced %d", log.Oldest(), next, log.Synced(), l.oldest, l.next, l.sure)
	for _, d := range found {
		l.tell("    %v", d)
		if !d.Torn {
			fail("reported as damaged: %v", d)
		}
	}
	if next > max(l.next, l.utmost) {
		fail("the next is %d, was %d", next, l.next)
	}
	for i, r := range l.records {
		if r.index < next {
			continue
		}
		if r.index < l.sure {
			fail("record %d was synced and is lost", r.index)
		}
		l.records = l.records[:i]
		break
	}
	if !l.faulty && log.Synced() != next {
		fail("synced up to %d, want %d", log.Synced(), next)
	}
	l.next, l.sure = next, max(l.sure, log.Synced())
	l.flushed = l.sure
	l.read()
	l.oldest = log.Oldest() // a removal may not have lasted, if that was said
	l.forget()
}

// read compares what a reader finds with what is to be there.
func (l *life) read() {
	if l.random.IntN(2) == 0 { // before or after a reader has found out where records are
		l.view()
	} else {
		defer l.view()
	}
	r := l.log.Read(0)
	defer r.Close()
	want := l.records
	for r.Next() {
		got := r.Record()
		for len(want) > 0 && want[0].index < l.log.Oldest() {
			want = want[1:]
		}
		if got.Index < l.gone {
			continue // dropped, but that had not lasted
		}
		if len(want) == 0 {
			fail("found record %d, which is beyond the end", got.Index)
		}
		if got.Index != want[0].index || !bytes.Equal(got.Data, want[0].data) {
			fail("found record %d of %d bytes, want %d of %d bytes", got.Index, len(got.Data), want[0].index, len(want[0].data))
		}
		want = want[1:]
	}
	if err := r.Err(); err != nil {
		fail("read: %v", err)
	}
	for len(want) > 0 && want[0].index < l.log.Oldest() {
		want = want[1:]
	}
	if len(want) > 0 {
		fail("record %d to %d are missing", want[0].index, want[len(want)-1].index)
	}
}
