package spool

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// bench is a spool on a disk in memory, with a sampler before it and a collector
// behind it.
type bench struct {
	t      *testing.T
	disk   *durabletest.Disk
	config Config
	limits limits
	deps   Deps
	now    time.Time
	boots  byte
	spool  *Spool
	from   *sampler
	to     *collector
}

func newBench(t *testing.T, change func(*bench)) *bench {
	t.Helper()
	b := &bench{t: t, disk: durabletest.New(1), config: DefaultConfig(), now: time.UnixMilli(1_700_000_000_000), to: newCollector()}
	b.limits = b.config.limits()
	b.deps = Deps{Dir: lifeDir, Worker: model.WorkerIDFrom([16]byte{1}), Fleet: "lab", Now: func() time.Time { return b.now }}
	if change != nil {
		change(b)
	}
	b.from = newSampler(nil, 10)
	b.from.at = millis(b.now)
	b.start()
	return b
}

// start starts a process, without the end of the one before having been noticed.
func (b *bench) start() *Spool {
	b.t.Helper()
	b.boots++
	b.deps.Boot, b.deps.FS = model.BootIDFrom([16]byte{b.boots}), b.disk
	var err error
	if b.spool, err = open(b.config, b.limits, b.deps); err != nil {
		b.t.Fatal(err)
	}
	b.from.use(b.spool)
	b.from.at = max(b.from.at, millis(b.now))
	return b.spool
}

// kill ends the process, and starts another one.
func (b *bench) kill() *Spool {
	b.disk.Kill()
	return b.start()
}

func (b *bench) close() {
	b.t.Helper()
	if err := b.spool.Close(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) define(stream model.StreamID, parts ...int) {
	b.t.Helper()
	if err := b.from.define(stream, parts...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) live() *Stretch {
	b.t.Helper()
	st, err := b.spool.Live(b.t.Context())
	if err != nil {
		b.t.Fatal(err)
	}
	return st
}

// backlog returns the next stretch, nil if there is none.
func (b *bench) backlog() *Stretch {
	b.t.Helper()
	st, err := b.spool.Backlog(done())
	if errors.Is(err, context.Canceled) {
		return nil
	}
	if err != nil {
		b.t.Fatal(err)
	}
	return st
}

// deliver takes everything that a stretch has.
func (b *bench) deliver(st *Stretch) *link {
	l := b.to.connect(st, true)
	for l.pull(5000) {
		l.ack()
	}
	return l
}

// drain delivers everything there is.
func (b *bench) drain() {
	b.deliver(b.live())
	for st := b.backlog(); st != nil; st = b.backlog() {
		b.deliver(st)
	}
}

// gaps are the events of one cause that have arrived.
func (b *bench) gaps(cause event.Cause) (found []event.Gap) {
	for gap := range b.to.gaps {
		if gap.Cause == cause {
			found = append(found, gap)
		}
	}
	slices.SortFunc(found, func(a, b event.Gap) int { return int(a.FirstSeq) - int(b.FirstSeq) })
	return found
}

// complete checks that everything said has arrived, but for so many frames.
func (b *bench) complete(missing int) {
	b.t.Helper()
	n := 0
	for at, frame := range b.from.said {
		if row, ok := b.to.rows[at]; !ok {
			n++
		} else if row != frame.first {
			b.t.Errorf("frame %v: %v, want %v", at, row, frame.first)
		}
	}
	if n != missing {
		b.t.Errorf("%d of %d frames have not arrived, want %d", n, len(b.from.said), missing)
	}
}

func wantRange(t *testing.T, what string, st *Stretch, first, next uint64) {
	t.Helper()
	if st == nil {
		t.Errorf("%s: no stretch, want %d to %d", what, first, next-1)
		return
	}
	if f, n := st.Range(); f != first || n != next {
		t.Errorf("%s: %d to %d, want %d to %d", what, f, n-1, first, next-1)
	}
}

func TestAKillLosesNothing(t *testing.T) {
	b := newBench(t, nil)
	b.define(1, 1)       // 1 2
	b.from.rounds(1, 25) // 3 to 27
	first := b.spool.Boot()
	b.kill()
	b.define(1, 1)
	b.from.rounds(1, 3)
	if stats := b.spool.Stats(); stats.FormerBoots != 1 || stats.Unacked != 27+2+3+1 {
		t.Errorf("after the kill: %+v", stats)
	}
	wantRange(t, "live", b.live(), 1, 7)
	old := b.backlog()
	wantRange(t, "backlog", old, 1, 28)
	if old.Boot() != first {
		t.Errorf("the backlog is of %v, want %v", old.Boot(), first)
	}
	b.drain()
	b.complete(0)
	if gaps := b.gaps(event.AgentCrashed); len(gaps) != 1 || gaps[0].Frames != 0 {
		t.Errorf("gaps %+v, want one of a crash", gaps)
	}
}

func TestAnOrderlyEndKeepsWhatIsAcknowledged(t *testing.T) {
	b := newBench(t, nil)
	b.define(1, 1)
	b.from.rounds(1, 5)
	b.deliver(b.live())
	b.from.rounds(1, 2) // 8 9
	b.close()
	if _, err := b.spool.Append(frame.KindEvent, 0, false, []byte("{}"), 0); !errors.Is(err, ErrClosed) {
		t.Errorf("append to a closed spool: %v", err)
	}
	b.start()
	wantRange(t, "what is left", func() *Stretch { b.live(); return b.backlog() }(), 8, 10)
	b.drain()
	b.complete(0)
}

// TestWhyNothingWasMeasured tells the ends of processes apart.
func TestWhyNothingWasMeasured(t *testing.T) {
	for _, c := range []struct {
		cause event.Cause
		end   func(*bench)
	}{
		{event.AgentStopped, func(b *bench) { b.close() }},
		{event.AgentCrashed, func(b *bench) { b.disk.Kill() }},
		{event.HostOff, func(b *bench) { b.close(); b.deps.HostStarted = b.now.Add(time.Minute) }},
		{event.HostOff, func(b *bench) { b.disk = b.disk.Cut(1); b.deps.HostStarted = b.now.Add(time.Minute) }},
	} {
		b := newBench(t, nil)
		b.define(1, 1)
		b.from.rounds(1, 3)
		b.spool.sync()
		last := b.from.at
		c.end(b)
		b.now = b.now.Add(time.Hour)
		b.start()
		b.define(1, 1)
		b.from.rounds(1, 1)
		st := b.live()
		raw, _, err := st.Next(t.Context(), 2, nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		r, _, err := frame.ParseRecord(raw)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := gapIn(r.Payload)
		want := event.Gap{Cause: c.cause, From: last, To: b.from.at}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", c.cause, diff)
		}
	}
}

// TestAFreshSpoolTellsOfNoGap: nobody knows since when the host is there.
func TestAFreshSpoolTellsOfNoGap(t *testing.T) {
	b := newBench(t, nil)
	b.define(1, 1)
	b.from.rounds(1, 1)
	b.drain()
	if len(b.to.gaps) > 0 {
		t.Errorf("gaps %v", b.to.gaps)
	}
}

func TestLiveBeginsWithTheNewest(t *testing.T) {
	b := newBench(t, func(b *bench) { b.config.LiveBacklog = 2 * model.KiB; b.limits.chunk = 500 })
	b.define(1, 1) // 1 2
	b.from.rounds(1, 10)
	wantRange(t, "little is left behind", b.live(), 1, 13)
	b.from.rounds(1, 200)
	wantRange(t, "more", b.live(), 212, 213)
	b.deliver(b.live())
	b.from.rounds(1, 5)
	wantRange(t, "live goes on", b.live(), 213, 218)
	wantRange(t, "the rest", b.backlog(), 1, 212)
	l := b.to.connect(b.backlog(), true)
	l.pull(1000)
	l.ack()
	b.deliver(b.live())
	wantRange(t, "the rest of the rest", b.backlog(), l.after+1, 212)
	b.drain()
	b.complete(0)
	if st := b.backlog(); st != nil {
		t.Errorf("a backlog is left: %+v", st)
	}
}

// TestHolesAreBounded lets the collector come back again and again, for a moment each.
func TestHolesAreBounded(t *testing.T) {
	b := newBench(t, func(b *bench) { b.config.LiveBacklog = 0; b.limits.chunk = 100 })
	b.define(1, 1)
	for range 40 {
		b.from.rounds(1, 20)
		l := b.to.connect(b.live(), true)
		l.pull(1)
		l.ack()
		if n := b.spool.Stats().Stretches; n > maxHoles+2 {
			t.Fatalf("%d stretches", n)
		}
	}
	b.drain()
	b.complete(0)
}

func TestOldestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, func(b *bench) { b.config.Order = OldestFirst; b.config.LiveBacklog = 0 })
		for range 3 {
			b.define(1, 1)
			b.from.rounds(1, 5)
			b.kill()
		}
		b.define(1, 1)
		b.from.rounds(1, 5)
		var live *Stretch
		go func() { live = b.live() }()
		for n := range byte(3) {
			synctest.Wait()
			if live != nil {
				t.Fatalf("live goes on before what was left behind")
			}
			st := b.backlog()
			if st.Boot() != model.BootIDFrom([16]byte{n + 1}) {
				t.Errorf("stretch %d is of %v", n, st.Boot())
			}
			b.deliver(st)
		}
		synctest.Wait()
		wantRange(t, "live", live, 1, 9)
		b.deliver(live)
		b.complete(0)
	})
}

func TestAFullSpoolDropsTheOldestAndSaysSo(t *testing.T) {
	b := newBench(t, func(b *bench) {
		b.config.MaxBytes, b.limits.segment, b.limits.unsynced, b.limits.chunk = 64*model.KiB, 4*model.KiB, 4*model.KiB, 500
		b.limits.gaps, b.limits.told = 1, 4
	})
	b.define(1, 1)
	b.define(2, 2)
	for range 700 {
		b.from.rounds(1, 3)
		b.from.rounds(2, 1)
	}
	stats := b.spool.Stats()
	if stats.Bytes > stats.MaxBytes || stats.Bytes < stats.MaxBytes/2 {
		t.Errorf("%d bytes of %d", stats.Bytes, stats.MaxBytes)
	}
	dropped := stats.Dropped[event.SpoolFull]
	if dropped.Frames == 0 || stats.MemoryRecords > 0 {
		t.Errorf("stats %+v", stats)
	}
	b.drain()
	b.complete(int(dropped.Frames))
	var told Loss
	for _, gap := range b.gaps(event.SpoolFull) {
		told.Frames, told.Samples = told.Frames+gap.Frames, told.Samples+gap.Samples
	}
	if told != dropped {
		t.Errorf("told of %+v, dropped %+v", told, dropped)
	}
}

func TestOldRecordsGo(t *testing.T) {
	b := newBench(t, func(b *bench) { b.config.MaxAge = time.Hour; b.limits.chunk = 200 })
	b.define(1, 1)
	b.from.rounds(1, 100)
	b.now = b.now.Add(2 * time.Hour)
	b.from.at = millis(b.now)
	b.from.rounds(1, 50)
	b.spool.tend()
	dropped := b.spool.Stats().Dropped[event.SpoolOld]
	if dropped.Frames < 90 || dropped.Frames > 110 {
		t.Errorf("dropped %+v, want about 100 frames", dropped)
	}
	b.spool.tend()
	if again := b.spool.Stats().Dropped[event.SpoolOld]; again != dropped {
		t.Errorf("dropped %+v, and then %+v", dropped, again)
	}
	b.drain()
	b.complete(int(dropped.Frames))
}

// TestADropThatACrashInterruptsIsNotCountedTwice kills between the note of a drop and
// the drop.
func TestADropThatACrashInterruptsIsNotCountedTwice(t *testing.T) {
	b := newBench(t, func(b *bench) {
		b.config.MaxBytes, b.limits.segment, b.limits.unsynced, b.limits.chunk = 32*model.KiB, 4*model.KiB, 4*model.KiB, 500
		b.limits.gaps, b.limits.told = 1, 4
	})
	b.define(1, 1)
	for b.spool.Stats().Bytes+2048 < b.spool.Stats().MaxBytes {
		b.from.rounds(1, 1)
	}
	b.disk.SetFaults(durabletest.Faults{Name: 1}) // no file can be removed
	for b.spool.Stats().Dropped[event.SpoolFull].Frames == 0 {
		b.from.rounds(1, 1)
	}
	dropped := b.spool.Stats().Dropped[event.SpoolFull]
	b.disk.SetFaults(durabletest.Faults{})
	waiting := int(b.spool.Stats().MemoryRecords)
	b.kill()
	b.define(1, 1)
	b.from.rounds(1, 3)
	b.drain()
	b.complete(int(dropped.Frames) + waiting)
	var told Loss
	for _, gap := range b.gaps(event.SpoolFull) {
		told.Frames, told.Samples = told.Frames+gap.Frames, told.Samples+gap.Samples
	}
	if told != dropped {
		t.Errorf("told of %+v, dropped %+v", told, dropped)
	}
	b.spool.tend()
	if oldest := b.spool.records.Oldest(); oldest == 1 {
		t.Errorf("the drop was not completed")
	}
}

func TestADiskThatFailsAndComesBack(t *testing.T) {
	b := newBench(t, nil)
	b.define(1, 1)
	b.from.rounds(1, 5)
	b.disk.SetRoom(0)
	b.from.rounds(1, 50)
	if stats := b.spool.Stats(); stats.MemoryRecords < 45 || stats.DiskError == "" {
		t.Errorf("on a full disk: %+v", stats)
	}
	b.deliver(b.live()) // from memory
	b.complete(0)
	b.from.rounds(1, 10)
	b.disk.SetRoom(1 << 30)
	b.spool.tend()
	if stats := b.spool.Stats(); stats.MemoryRecords > 0 || stats.DiskError != "" {
		t.Errorf("there is room again: %+v", stats)
	}
	b.kill()
	b.define(1, 1)
	b.from.rounds(1, 1)
	b.drain()
	b.complete(0)
}

// TestAFolderThatCannotBeOpened starts in memory.
func TestAFolderThatCannotBeOpened(t *testing.T) {
	b := newBench(t, nil)
	b.define(1, 1)
	b.from.rounds(1, 5)
	b.disk.SetRoom(0)
	b.kill()
	b.define(1, 1)
	b.from.rounds(1, 5)
	if stats := b.spool.Stats(); stats.FormerBoots != 0 || stats.MemoryRecords != 5 || stats.DiskError == "" {
		t.Errorf("started on a full disk: %+v", stats)
	}
	b.disk.SetRoom(1 << 30)
	b.now = b.now.Add(time.Minute)
	b.spool.tend()
	if stats := b.spool.Stats(); stats.FormerBoots != 1 || stats.MemoryRecords != 0 || stats.DiskError != "" {
		t.Errorf("there is room: %+v", stats)
	}
	b.drain()
	b.complete(0)
}

func TestMemoryIsBounded(t *testing.T) {
	b := newBench(t, func(b *bench) { b.deps.Dir = ""; b.limits.memory = 32 * model.KiB })
	b.define(1, 1)
	b.from.rounds(1, 1000)
	stats := b.spool.Stats()
	if stats.MemoryBytes > 32<<10 {
		t.Errorf("%d bytes in memory", stats.MemoryBytes)
	}
	b.now = b.now.Add(time.Hour)
	b.spool.tend()
	b.from.rounds(1, 1)
	b.drain()
	dropped := b.spool.Stats().Dropped[event.SpoolFull]
	b.complete(int(dropped.Frames))
	if dropped.Frames == 0 || len(b.gaps(event.SpoolFull)) == 0 {
		t.Errorf("dropped %+v, told %+v", dropped, b.to.gaps)
	}
}

// TestAnotherIdentity finds the records of the one before and sends none of them.
func TestAnotherIdentity(t *testing.T) {
	for what, change := range map[string]func(*Deps){
		"worker": func(d *Deps) { d.Worker = model.WorkerIDFrom([16]byte{9}) },
		"fleet":  func(d *Deps) { d.Fleet = "prod" },
	} {
		b := newBench(t, nil)
		b.define(1, 1)
		b.from.rounds(1, 5)
		before := b.spool.Boot()
		b.close()
		change(&b.deps)
		b.start()
		b.define(1, 1)
		b.from.rounds(1, 3)
		if stats := b.spool.Stats(); stats.FormerBoots != 0 {
			t.Errorf("%s: %+v", what, stats)
		}
		b.drain()
		b.complete(5)
		want := []event.Gap{{Cause: event.IdentityChanged, Boot: before, FirstSeq: 3, LastSeq: 7, Frames: 5, Samples: 20}}
		if diff := cmp.Diff(want, b.gaps(event.IdentityChanged)); diff != "" || len(b.to.gaps) != 1 {
			t.Errorf("%s: gaps %v (-want +got):\n%s", what, b.to.gaps, diff)
		}
		b.kill()
		if b.live(); b.spool.records.Oldest() == 1 {
			t.Errorf("%s: the records of the former identity are still there", what)
		}
	}
}

func TestFewSyncsWhileTheCollectorAcknowledges(t *testing.T) {
	b := newBench(t, nil)
	b.define(1, 1)
	l := b.to.connect(b.live(), true)
	second := func() {
		b.now = b.now.Add(time.Second)
		b.from.rounds(1, 1)
		b.spool.tend()
	}
	before := b.spool.Stats().Syncs
	for range 300 {
		second()
		l.pull(1 << 20)
		l.ack()
	}
	if n := b.spool.Stats().Syncs - before; n > 0 {
		t.Errorf("%d syncs while everything is acknowledged", n)
	}
	for range 300 { // and now nobody does
		second()
	}
	if n := b.spool.Stats().Syncs - before; n < 25 || n > 70 {
		t.Errorf("%d syncs in 300s, want one in 5 to 10s", n)
	}
	b.disk = b.disk.Cut(4)
	b.start()
	b.define(1, 1)
	b.from.rounds(1, 1)
	b.drain()
	lost := 0
	for at := range b.from.said {
		if _, ok := b.to.rows[at]; !ok {
			lost++
		}
	}
	if lost > 10 {
		t.Errorf("a power cut took %d frames of one second, want 10 at most", lost)
	}
}

// TestAcknowledgedRecordsLeaveTheDisk keeps what a decoder needs.
func TestAcknowledgedRecordsLeaveTheDisk(t *testing.T) {
	b := newBench(t, func(b *bench) { b.limits.segment, b.limits.unsynced = 4*model.KiB, 4*model.KiB })
	b.define(1, 1)
	l := b.to.connect(b.live(), true)
	for range 500 {
		b.from.rounds(1, 1)
		l.pull(1 << 20)
		l.ack()
		b.spool.tend()
	}
	if stats := b.spool.Stats(); stats.Bytes > 12<<10 {
		t.Errorf("%d bytes, all of them acknowledged", stats.Bytes)
	}
	for range 15 { // wherever it stops, a new decoder can go on
		b.from.rounds(1, 1)
		b.deliver(b.live())
	}
	b.complete(0)
}

func TestContextIsWhatADecoderNeeds(t *testing.T) {
	b := newBench(t, nil)
	b.from.keyEvery = 4
	b.define(1, 1)      // 1 2
	b.from.rounds(1, 6) // 3-6, 7 8
	b.define(2, 2)      // 9 10
	b.from.rounds(2, 1) // 11
	b.from.rounds(1, 1) // 12
	st, first := b.live(), frame.PartIDOf(encodedPart(1))
	for _, c := range []struct {
		after uint64
		knows bool
		want  []uint64
	}{
		{0, false, nil},
		{1, false, []uint64{1}},
		{1, true, nil},
		{2, true, []uint64{2}},
		{4, true, []uint64{2, 3, 4}},
		{7, true, []uint64{2, 7}},
		{8, false, []uint64{1, 2, 7, 8}},
		{9, true, []uint64{2, 7, 8, 9}}, // only the first part is known
		{12, true, []uint64{2, 7, 8, 9, 10, 11, 12}},
	} {
		raw, err := st.Context(c.after, func(id frame.PartID) bool { return c.knows && id == first })
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, numbers(t, raw)); diff != "" {
			t.Errorf("context of %d, first part known: %v (-want +got):\n%s", c.after, c.knows, diff)
		}
	}
}

func numbers(t *testing.T, raw []byte) (all []uint64) {
	t.Helper()
	for len(raw) > 0 {
		r, n, err := frame.ParseRecord(raw)
		if err != nil {
			t.Fatal(err)
		}
		all, raw = append(all, r.Seq), raw[n:]
	}
	return all
}

func TestNextGivesWholeRecordsInBatches(t *testing.T) {
	b := newBench(t, nil)
	for range 10 {
		if _, err := b.spool.Append(frame.KindEvent, 0, false, make([]byte, 100), 0); err != nil {
			t.Fatal(err)
		}
	}
	st := b.live()
	one, _, err := st.Next(t.Context(), 0, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	size := len(one)
	for _, c := range []struct {
		after uint64
		most  int
		last  uint64
	}{
		{0, 1, 1}, {0, size, 1}, {0, 2*size - 1, 1}, {0, 2 * size, 2}, {3, 3 * size, 6}, {8, 1 << 20, 10}, {1, size, 2}, {2, size, 3},
	} {
		out, last, err := st.Next(t.Context(), c.after, []byte("head"), c.most)
		if err != nil || last != c.last || len(out) != 4+int(c.last-c.after)*size || string(out[:4]) != "head" {
			t.Errorf("after %d, at most %d: %d bytes up to %d, %v; want up to %d", c.after, c.most, len(out), last, err, c.last)
		}
	}
}

func TestNextWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		st := b.live()
		var reader sync.WaitGroup
		reader.Go(func() {
			if _, last, err := st.Next(t.Context(), 0, nil, 1000); last != 1 || err != nil {
				t.Errorf("got up to %d, %v; want 1", last, err)
			}
		})
		synctest.Wait()
		b.spool.Append(frame.KindEvent, 0, false, []byte("{}"), 0)
		reader.Wait()
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("enough")
		cancel(why)
		if out, last, err := st.Next(ctx, 1, []byte("x"), 1000); !errors.Is(err, why) || last != 1 || string(out) != "x" {
			t.Errorf("cancelled: %q up to %d, %v; want the cause", out, last, err)
		}
		b.close()
		if _, _, err := st.Next(t.Context(), 1, nil, 1000); !errors.Is(err, ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		if _, err := b.spool.Live(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		if _, err := b.spool.Backlog(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

func TestABacklogEnds(t *testing.T) {
	b := newBench(t, nil)
	b.define(1, 1)
	b.from.rounds(1, 3)
	b.kill()
	b.live()
	st := b.backlog()
	out, last, err := st.Next(t.Context(), 0, nil, 1<<20)
	if err != nil || last != 5 || len(numbers(t, out)) != 5 {
		t.Errorf("%d bytes up to %d, %v; want 5 records", len(out), last, err)
	}
	if out, last, err := st.Next(t.Context(), 5, []byte("x"), 1); !errors.Is(err, io.EOF) || last != 5 || string(out) != "x" {
		t.Errorf("%q up to %d, %v; want io.EOF", out, last, err)
	}
}

func TestAppendRefuses(t *testing.T) {
	b := newBench(t, func(b *bench) { b.limits.group = 200 })
	schema := frame.AppendSchema(nil, frame.Schema{Parts: []frame.PartID{{1}}})
	b.define(2, 1)
	key, _ := b.from.encoders[2].Append(nil, b.from.at, make([]float64, b.from.columns[2]))
	delta, _ := b.from.encoders[2].Append(nil, b.from.at+1, make([]float64, b.from.columns[2]))
	for _, c := range []struct {
		what    string
		kind    frame.Kind
		stream  model.StreamID
		key     bool
		payload []byte
		samples int
		want    error
	}{
		{"frame without a schema", frame.KindFrame, 1, true, key, 1, ErrSchemaNeeded},
		{"delta frame without its key frame", frame.KindFrame, 2, false, delta, 1, ErrKeyNeeded},
		{"schema without its part", frame.KindSchema, 1, false, schema, 0, ErrPartNeeded},
		{"schema of garbage", frame.KindSchema, 1, false, []byte{9, 9}, 0, frame.ErrVersion},
		{"frame of garbage", frame.KindFrame, 2, true, []byte{9, 9}, 0, frame.ErrVersion},
		{"key frame that is none", frame.KindFrame, 2, false, key, 1, errMalformed},
		{"no kind", 9, 1, false, nil, 0, nil},
		{"more than a record holds", frame.KindEvent, 0, false, make([]byte, frame.MaxPayload+1), 0, ErrTooLarge},
	} {
		seq, err := b.spool.Append(c.kind, c.stream, c.key, c.payload, c.samples)
		if err == nil || c.want != nil && !errors.Is(err, c.want) || seq != 0 {
			t.Errorf("%s: number %d, %v; want %v", c.what, seq, err, c.want)
		}
	}
	if stats := b.spool.Stats(); stats.Refused != 7 || stats.Next != 3 {
		t.Errorf("stats %+v; want 7 refused and no number used", stats)
	}
	b.from.keyEvery = 1000
	b.define(3, 1)
	b.from.rounds(3, 50) // a group that would be too large is ended by a key frame
	b.drain()
	b.complete(0)
	if _, err := b.spool.Append(frame.KindEvent, 0, false, make([]byte, frame.MaxPayload), 0); err != nil {
		t.Errorf("the largest record: %v", err)
	}
}

// TestDefinitionsAreBounded lets parts come and go, as with short-lived devices.
func TestDefinitionsAreBounded(t *testing.T) {
	b := newBench(t, func(b *bench) {
		b.limits.definitions, b.limits.segment, b.limits.unsynced = 16*model.KiB, 4*model.KiB, 4*model.KiB
	})
	refused := 0
	l := b.to.connect(b.live(), true)
	for n := 1; n < 500; n++ {
		if err := b.from.define(1, 1, n+1); errors.Is(err, ErrTooLarge) {
			refused++
			continue
		}
		b.from.rounds(1, 2)
		l.pull(1 << 20)
		l.ack()
		b.spool.tend()
		if stats := b.spool.Stats(); stats.DefinitionBytes > 16<<10 {
			t.Fatalf("definitions take %d bytes", stats.DefinitionBytes)
		}
		if size := b.spool.defs.log.Size(); size > 64<<10 {
			t.Fatalf("their log has %d bytes", size)
		}
	}
	if refused > 0 {
		t.Errorf("%d schemas refused, though nobody needs the former ones", refused)
	}
	b.complete(0)
	for n := 1000; refused == 0 && n < 2000; n++ { // all in use: nobody acknowledges
		if err := b.from.define(1, n); errors.Is(err, ErrTooLarge) {
			refused++
			continue
		}
		b.from.rounds(1, 1)
	}
	if refused == 0 {
		t.Errorf("definitions that are in use are not bounded")
	}
}

func TestOthersAreRefused(t *testing.T) {
	b := newBench(t, nil)
	if _, err := open(b.config, b.limits, b.deps); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("two on one folder: %v", err)
	}
	b.spool.records.Append([]byte{99})
	b.close()
	if _, err := open(b.config, b.limits, b.deps); !errors.Is(err, ErrVersion) {
		t.Errorf("an entry that is not known: %v", err)
	}
}

func TestReadersAndAcksMeanwhile(t *testing.T) {
	b := newBench(t, func(b *bench) {
		b.config.MaxBytes, b.limits.segment, b.limits.unsynced, b.limits.chunk = 64*model.KiB, 4*model.KiB, 4*model.KiB, 500
		b.limits.gaps, b.limits.told = 1, 4
	})
	b.define(1, 1)
	ctx, cancel := context.WithCancel(t.Context())
	var others sync.WaitGroup
	for range 3 {
		st := b.live()
		others.Go(func() {
			for after := uint64(0); ; {
				_, last, err := st.Next(ctx, after, nil, 500)
				if err != nil {
					return
				}
				if last <= after {
					t.Errorf("up to %d after %d", last, after)
				}
				after = last
				st.Acked(after)
				st.Context(after, func(frame.PartID) bool { return false })
				st.Parts()
				st.Range()
				b.spool.Stats()
			}
		})
	}
	others.Go(func() {
		for ctx.Err() == nil {
			b.spool.tend()
		}
	})
	others.Go(func() {
		for ctx.Err() == nil {
			if st, err := b.spool.Backlog(ctx); err == nil {
				st.Next(ctx, 0, nil, 1000)
			}
		}
	})
	b.from.rounds(1, 2000)
	cancel()
	others.Wait()
}

func TestRunTends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.spool.now, b.now = time.Now, time.Now()
		b.define(1, 1)
		b.from.rounds(1, 1)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.spool.Run(ctx) }()
		before := b.spool.Stats().Syncs
		time.Sleep(b.config.SyncInterval)
		synctest.Wait()
		if b.spool.Stats().Syncs == before {
			t.Errorf("no sync after %v", b.config.SyncInterval)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestConfig(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	for key, change := range map[string]func(*Config){
		"max_bytes": func(c *Config) { c.MaxBytes = 1 }, "max_age": func(c *Config) { c.MaxAge = 0 },
		"sync_interval": func(c *Config) { c.SyncInterval = 0 }, "order": func(c *Config) { c.Order = "" },
		"live_backlog": func(c *Config) { c.LiveBacklog = model.TiB },
	} {
		c := DefaultConfig()
		change(&c)
		var field *model.FieldError
		if err := c.Validate(); !errors.As(err, &field) || field.Key != key {
			t.Errorf("%s: got %v, want it named", key, err)
		}
		if _, err := Open(c, Deps{Boot: model.BootIDFrom([16]byte{1})}); err == nil {
			t.Errorf("%s: Open accepts it", key)
		}
	}
	if _, err := Open(DefaultConfig(), Deps{}); err == nil {
		t.Errorf("no boot id: accepted")
	}
}
