package durable_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func openReal(t testing.TB, dir string, opts durable.Options) *durable.Log {
	t.Helper()
	log, found, err := durable.Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range found {
		t.Errorf("reported is %v", d)
	}
	t.Cleanup(func() { log.Close() })
	return log
}

func mustAppend(t testing.TB, log *durable.Log, records ...string) (first uint64) {
	t.Helper()
	var batch [][]byte
	for _, r := range records {
		batch = append(batch, []byte(r))
	}
	first, err := log.Append(batch...)
	if err != nil {
		t.Fatal(err)
	}
	return first
}

// read returns the records from an index on as "index:data".
func read(t testing.TB, r *durable.Reader) string {
	t.Helper()
	defer r.Close()
	var all []string
	for r.Next() {
		all = append(all, fmt.Sprintf("%d:%s", r.Record().Index, r.Record().Data))
	}
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

func TestRecordsComeBackFromARealFolder(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "log")
	log := openReal(t, dir, durable.Options{})
	if first := mustAppend(t, log, "a", "", "c"); first != 1 {
		t.Errorf("first is %d", first)
	}
	if got := read(t, log.Read(0)); got != "1:a 2: 3:c" {
		t.Errorf("before Sync: %s", got)
	}
	check(t, log.Sync())
	if log.Synced() != 4 {
		t.Errorf("synced %d", log.Synced())
	}
	mustAppend(t, log, "d")
	check(t, log.Close())
	log = openReal(t, dir, durable.Options{Check: true})
	mustAppend(t, log, "e")
	if got := read(t, log.Read(3)); got != "3:c 4:d 5:e" {
		t.Errorf("got %s", got)
	}
	for _, name := range []string{"", "000000000001.log"} {
		info, err := os.Stat(filepath.Join(dir, name))
		check(t, err)
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: mode %v", info.Name(), info.Mode())
		}
	}
}

func TestOneLogHasTheFolder(t *testing.T) {
	for name, opts := range map[string]durable.Options{"real": {}, "in memory": {FS: durabletest.New(1)}} {
		dir := t.TempDir()
		log := openReal(t, dir, opts)
		if _, _, err := durable.Open(dir, opts); !errors.Is(err, durable.ErrLocked) {
			t.Errorf("%s: got %v, want %v", name, err, durable.ErrLocked)
		}
		check(t, log.Close())
		openReal(t, dir, opts)
	}
}

func TestEverythingEndsWithClose(t *testing.T) {
	log := openReal(t, t.TempDir(), durable.Options{})
	mustAppend(t, log, "a")
	r := log.Read(1)
	defer r.Close()
	r.Next()
	waiting := make(chan error)
	go func() { waiting <- log.Wait(t.Context(), 2) }()
	check(t, log.Close())
	check(t, log.Close())
	_, appended := log.Append([]byte("b"))
	again := log.Read(1)
	r.Next()
	again.Next()
	for what, err := range map[string]error{
		"Append": appended, "Wait": <-waiting, "Flush": log.Flush(), "Trim": log.Trim(), "DropThrough": log.DropThrough(1), "Advance": log.Advance(9),
		"a reader": r.Err(), "a new reader": again.Err(),
	} {
		if !errors.Is(err, durable.ErrClosed) {
			t.Errorf("%s: got %v, want %v", what, err, durable.ErrClosed)
		}
	}
}

func TestARecordThatIsTooLargeIsRefused(t *testing.T) {
	log := openReal(t, t.TempDir(), durable.Options{})
	if _, err := log.Append([]byte("fits"), make([]byte, durable.MaxRecord+1)); !errors.Is(err, durable.ErrTooLarge) {
		t.Errorf("got %v", err)
	}
	if log.Next() != 1 {
		t.Errorf("next is %d", log.Next())
	}
	if _, err := log.Append(make([]byte, durable.MaxRecord)); err != nil {
		t.Error(err)
	}
	r := log.Read(1)
	defer r.Close()
	if !r.Next() || len(r.Record().Data) != durable.MaxRecord {
		t.Errorf("read back: %v", r.Err())
	}
}

func TestAPositionIsFoundAgain(t *testing.T) {
	log := openReal(t, t.TempDir(), durable.Options{SegmentBytes: 4 * model.KiB})
	for i := range 100 {
		mustAppend(t, log, strings.Repeat("x", i*3), strings.Repeat("y", i*2))
	}
	check(t, log.Sync())
	r := log.Read(0)
	defer r.Close()
	for r.Next() {
		want := r.Record()
		at := log.ReadAt(want.At)
		if !at.Next() || at.Record().Index != want.Index || string(at.Record().Data) != string(want.Data) {
			t.Fatalf("at %v: got record %d, %v, want %d", want.At, at.Record().Index, at.Err(), want.Index)
		}
		at.Close()
	}
	last := r.Record()
	wrong := log.ReadAt(durable.Position{Segment: last.At.Segment, Offset: last.At.Offset + 1})
	defer wrong.Close()
	var damage *durable.Damage
	if wrong.Next() || !errors.As(wrong.Err(), &damage) {
		t.Errorf("in the middle of a record: got %v", wrong.Err())
	}
}

func TestAFullDiskStopsAppendingOnly(t *testing.T) {
	disk := durabletest.New(1)
	log := openReal(t, "/log", durable.Options{FS: disk, Buffer: 1, SegmentBytes: 4 * model.KiB})
	mustAppend(t, log, "before")
	check(t, log.Sync())
	disk.SetRoom(50)
	var full error
	accepted := 1
	for full == nil {
		if _, full = log.Append([]byte("a record of some forty bytes, or fewer")); full == nil {
			accepted++
		}
	}
	if !errors.Is(full, durable.ErrFull) || !errors.Is(full, syscall.ENOSPC) {
		t.Fatalf("got %v", full)
	}
	if err := log.Sync(); !errors.Is(err, durable.ErrFull) {
		t.Errorf("Sync: got %v", err)
	}
	if log.Synced() != 2 {
		t.Errorf("synced %d, want 2", log.Synced())
	}
	if got := strings.Count(read(t, log.Read(0)), ":"); got != accepted {
		t.Errorf("%d records can be read, want %d", got, accepted)
	}
	disk.SetRoom(1 << 20)
	mustAppend(t, log, "after")
	check(t, log.Sync())
	check(t, log.Close())
	log = openReal(t, "/log", durable.Options{FS: disk, Check: true})
	if got := read(t, log.Read(0)); strings.Count(got, ":") != accepted+1 || !strings.HasSuffix(got, ":after") {
		t.Errorf("got %s", got)
	}
}

// The fsync that fails takes pages of the file with it. The ones that follow
// succeed, and prove nothing.
func TestAFailedSyncIsNotForgotten(t *testing.T) {
	for seed := range uint64(20) {
		disk := durabletest.New(seed)
		opts := durable.Options{FS: disk}
		log := openReal(t, "/log", opts)
		mustAppend(t, log, "one")
		check(t, log.Sync())
		mustAppend(t, log, "two")
		disk.SetFaults(durabletest.Faults{Sync: 1})
		if err := log.Sync(); !errors.Is(err, durable.ErrDisk) || !errors.Is(err, syscall.EIO) {
			t.Fatalf("got %v", err)
		}
		if log.Synced() != 2 {
			t.Fatalf("synced %d, want 2", log.Synced())
		}
		if _, err := log.Append([]byte("three")); !errors.Is(err, durable.ErrDisk) {
			t.Errorf("Append: got %v", err)
		}
		disk.SetFaults(durabletest.Faults{})
		check(t, log.Sync())
		opts.FS = disk.Cut(seed)
		log = openReal(t, "/log", opts)
		if got := read(t, log.Read(0)); got != "1:one 2:two" {
			t.Errorf("seed %d: got %s", seed, got)
		}
	}
}

// The same, when the process ends between the two.
func TestAFailedSyncOfAFormerProcessIsNotForgotten(t *testing.T) {
	for seed := range uint64(20) {
		disk := durabletest.New(seed)
		opts := durable.Options{FS: disk}
		log := openReal(t, "/log", opts)
		mustAppend(t, log, "one", "two")
		disk.SetFaults(durabletest.Faults{Sync: 1})
		if log.Sync() == nil {
			t.Fatal("no error")
		}
		disk.SetFaults(durabletest.Faults{})
		disk.Kill()
		log = openReal(t, "/log", opts)
		synced := log.Synced()
		opts.FS = disk.Cut(seed)
		log = openReal(t, "/log", opts)
		if log.Next() < synced {
			t.Errorf("seed %d: %d synced, %d there", seed, synced-1, log.Next()-1)
		}
	}
}

func TestWhatIsDroppedIsTold(t *testing.T) {
	now := time.Unix(1e9, 0)
	var told []string
	log := openReal(t, "/log", durable.Options{
		FS: durabletest.New(1), Now: func() time.Time { return now },
		SegmentBytes: 4 * model.KiB, MaxBytes: 12 * model.KiB, MaxAge: time.Hour,
		OnDrop: func(d durable.Drop) { told = append(told, fmt.Sprintf("%d-%d %s", d.First, d.End-1, d.Why)) },
	})
	kilobyte := strings.Repeat("k", 960)
	for range 13 {
		mustAppend(t, log, kilobyte)
	}
	if got := fmt.Sprint(told); got != "[1-4 full]" || log.Oldest() != 5 {
		t.Errorf("told %s, the oldest is %d", got, log.Oldest())
	}
	if s := log.Stats(); s.Bytes > int64(12*model.KiB) || s.Segments != 3 {
		t.Errorf("%+v", s)
	}
	now = now.Add(2 * time.Hour)
	check(t, log.Trim())
	if got := fmt.Sprint(told[1:]); got != "[5-8 old 9-12 old 13-13 old]" || log.Oldest() != 14 || log.Next() != 14 {
		t.Errorf("told %s, the oldest is %d of %d", got, log.Oldest(), log.Next())
	}
	// What its owner drops is not told.
	mustAppend(t, log, kilobyte, kilobyte, kilobyte, kilobyte)
	mustAppend(t, log, kilobyte)
	check(t, log.DropThrough(16))
	if log.Oldest() != 14 {
		t.Errorf("the oldest is %d, want 14: record 17 is in its segment", log.Oldest())
	}
	check(t, log.DropThrough(17))
	if log.Oldest() != 18 || len(told) != 4 {
		t.Errorf("the oldest is %d, told %v", log.Oldest(), told)
	}
	if got := read(t, log.Read(3)); !strings.HasPrefix(got, "18:") {
		t.Errorf("a reader of dropped records: got %.20s", got)
	}
}

// One writer, several who sync, several who read, and one who drops, at once.
func TestAllAtOnce(t *testing.T) {
	const records = 20000
	log := openReal(t, t.TempDir(), durable.Options{SegmentBytes: 64 * model.KiB, MaxUnsynced: 32 * model.KiB, Buffer: 4 * model.KiB})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var all sync.WaitGroup
	data := func(index uint64) string { return fmt.Sprintf("%d %s", index, strings.Repeat("-", int(index%100))) }
	all.Go(func() {
		for i := uint64(1); i <= records; {
			n := min(1+i%7, records+1-i)
			batch := make([][]byte, n)
			for j := range batch {
				batch[j] = []byte(data(i + uint64(j)))
			}
			if first, err := log.Append(batch...); err != nil || first != i {
				t.Errorf("append %d: %d, %v", i, first, err)
				return
			}
			i += n
		}
	})
	for range 3 {
		all.Go(func() {
			for log.Synced() <= records {
				before := log.Next()
				if err := log.Sync(); err != nil {
					t.Error(err)
					return
				}
				if log.Synced() < before {
					t.Errorf("synced %d, want %d", log.Synced(), before)
				}
				if synced := log.Synced(); synced <= records && log.Wait(ctx, synced) != nil {
					t.Error("waited too long")
					return
				}
			}
		})
	}
	for n := range 4 {
		all.Go(func() {
			r := log.Read(0)
			defer r.Close()
			for next := uint64(1); next <= records; {
				if err := log.Wait(ctx, next); err != nil {
					t.Error(err)
					return
				}
				for r.Next() {
					got := r.Record()
					if got.Index < next || n > 0 && got.Index != next && log.Oldest() < got.Index || string(got.Data) != data(got.Index) {
						t.Errorf("got %d %q, want %d", got.Index, got.Data, next)
						return
					}
					next = got.Index + 1
				}
				if r.Err() != nil {
					t.Error(r.Err())
					return
				}
			}
		})
	}
	all.Go(func() {
		for log.Next() <= records {
			if err := log.Wait(ctx, min(log.Next()+3000, records)); err != nil {
				return
			}
			if oldest := log.Oldest(); log.Synced() > oldest+6000 {
				check(t, log.DropThrough(oldest+1000))
			}
		}
	})
	all.Wait()
}
