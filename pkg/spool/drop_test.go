package spool

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

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
