package volume

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
)

// counted is a file system in which something happens before the n-th change.
type counted struct {
	memory
	left   *int
	happen func() error // an error instead of the change
}

func (c counted) step() error {
	*c.left--
	if *c.left != 0 {
		return nil
	}
	return c.happen()
}

func (c counted) Create(name string) (durable.File, error) {
	if err := c.step(); err != nil {
		return nil, err
	}
	file, err := c.memory.Create(name)
	return countedFile{file, c}, err
}

func (c counted) Rename(from, to string) error {
	if err := c.step(); err != nil {
		return err
	}
	return c.memory.Rename(from, to)
}

func (c counted) SyncFolder(dir string) error {
	if err := c.step(); err != nil {
		return err
	}
	return c.memory.SyncFolder(dir)
}

func (c counted) Map(name string) ([]byte, func() error, error) {
	if err := c.step(); err != nil {
		return nil, nil, err
	}
	return c.memory.Map(name)
}

type countedFile struct {
	durable.File
	c counted
}

func (f countedFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.c.step(); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

func (f countedFile) Sync() error {
	if err := f.c.step(); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f countedFile) Close() error {
	if err := f.c.step(); err != nil {
		f.File.Close()
		return err
	}
	return f.File.Close()
}

// lanes200 are lanes with a block each, sealed once: that takes a while.
type lanes200 [200]struct {
	lane
	sealed []byte
}

func newLanes(t *testing.T) *lanes200 {
	all := new(lanes200)
	for n := range all {
		l := laneOf(n)
		all[n].lane, all[n].sealed = l, l.sealed(t, 1000, 1500)
	}
	return all
}

// create makes a volume, which takes several writes.
func (all *lanes200) create(fs FS) (*File, error) {
	w, err := Create(dir, 8, Raw, deps(fs))
	if err != nil {
		return nil, err
	}
	defer w.Abort()
	for _, l := range all {
		if err := w.Add(Entry{Key: l.key()}, l.sealed); err != nil {
			return nil, err
		}
		if err := w.Source(l.worker, l.labels); err != nil {
			return nil, err
		}
	}
	return w.Commit()
}

// The power is cut before each step of Commit, and what is not synced comes to the
// disk in many ways: the volume is there wholly, or not at all.
func TestAPowerCutLeavesAVolumeOrNone(t *testing.T) {
	lanes, former := newLanes(t), smallFile(t, newMemory(), 3)
	f, err := lanes.create(newMemory())
	check(t, err)
	want := f.data
	there, steps := 0, 0
	for step := 1; ; step++ {
		done := false
		for seed := range uint64(30) {
			disk := newMemory()
			disk.SetContent(smallName, former)
			var after *durabletest.Disk
			fs := counted{disk, new(int), func() error { after = disk.Cut(seed); return syscall.EIO }}
			*fs.left = step
			f, err := lanes.create(fs)
			if after == nil { // Commit came to its end
				check(t, err)
				after = disk.Cut(seed)
				done = true
			}
			committed := err == nil && f != nil
			set, damages, err := Open(dir, deps(memory{after}))
			check(t, err)
			if len(damages) > 0 || !set.Has(7) {
				t.Fatalf("step %d, seed %d: %v", step, seed, damages)
			}
			if set.Has(8) {
				there++
				got, _ := after.Content(filepath.Join(dir, "00000008.raw"))
				if !bytes.Equal(got, want) {
					t.Fatalf("step %d, seed %d: not whole", step, seed)
				}
			} else if committed {
				t.Fatalf("step %d, seed %d: was committed, and is not there", step, seed)
			}
			if n := len(after.Names()); n > 2 || n == 2 && !set.Has(8) {
				t.Fatalf("step %d, seed %d: %v", step, seed, after.Names())
			}
			check(t, set.Close())
		}
		if done {
			break
		}
		steps++
	}
	if steps < 7 || there < 60 {
		t.Errorf("%d steps, it was there %d times", steps, there)
	}
}

// A step fails, the rest goes on: nothing is left, the error says on what.
func TestAFailedStepLeavesNothing(t *testing.T) {
	lanes := newLanes(t)
	for step := 1; ; step++ {
		disk := newMemory()
		failed := false
		fs := counted{disk, new(int), func() error { failed = true; return syscall.EIO }}
		*fs.left = step
		f, err := lanes.create(fs)
		if !failed {
			check(t, err)
			f.Release()
			if step < 8 {
				t.Errorf("%d steps", step)
			}
			return
		}
		if f != nil || !errors.Is(err, durable.ErrDisk) || errors.Is(err, durable.ErrFull) || !strings.Contains(err.Error(), dir) {
			t.Errorf("step %d: %v, %v", step, f, err)
		}
		if left := disk.Names(); len(left) > 0 {
			t.Errorf("step %d: left are %v", step, left)
		}
	}
}

func TestAFullDiskIsSaidAndLeavesNothing(t *testing.T) {
	lanes := newLanes(t)
	for _, room := range []int64{0, 100, 10_000, 270_000} {
		disk := newMemory()
		disk.SetRoom(room)
		f, err := lanes.create(disk)
		if f != nil || !errors.Is(err, durable.ErrFull) {
			t.Errorf("room for %d: %v, %v", room, f, err)
		}
		if left := disk.Names(); len(left) > 0 {
			t.Errorf("room for %d: left are %v", room, left)
		}
		disk.SetRoom(1 << 30)
		f, err = lanes.create(disk)
		check(t, err)
		f.Release()
	}
}

func TestAWriterThatHasEndedSaysSo(t *testing.T) {
	fs := newMemory()
	w, err := Create(dir, 7, Raw, deps(fs))
	check(t, err)
	small(t, w, 1)
	f, err := w.Commit()
	check(t, err)
	f.Release()
	check(t, w.Abort()) // changes nothing
	l := laneOf(1)
	_, again := w.Commit()
	for i, err := range []error{w.Add(Entry{Key: l.key()}, l.sealed(t, 0, 3)), w.Part([]byte("x")), w.Source(l.worker, nil), again} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("call %d: %v", i, err)
		}
	}
	if n := len(fs.Names()); n != 1 {
		t.Errorf("files: %v", fs.Names())
	}

	w, err = Create(dir, 8, Raw, deps(fs))
	check(t, err)
	if _, err := w.Commit(); !errors.Is(err, ErrEmpty) {
		t.Errorf("empty: %v", err)
	}
	if _, err := Create(dir, 7, Tier(Tiers), deps(fs)); !errors.Is(err, ErrInvalid) {
		t.Errorf("tier: %v", err)
	}
	if n := len(fs.Names()); n != 1 {
		t.Errorf("files: %v", fs.Names())
	}
}

func TestABlockOfAnotherLaneIsRefused(t *testing.T) {
	w, err := Create(dir, 7, Raw, deps(newMemory()))
	check(t, err)
	l := laneOf(4)
	sealed := l.sealed(t, 1000, 3)
	good := Entry{Key: l.key(), Rows: 3, First: 1000, Last: 3000}
	for what, change := range map[string]func(*Entry){
		"worker":   func(e *Entry) { e.Worker[3]++ },
		"stream":   func(e *Entry) { e.Stream++ },
		"rows":     func(e *Entry) { e.Rows++ },
		"first":    func(e *Entry) { e.First++ },
		"last":     func(e *Entry) { e.Last-- },
		"backward": func(e *Entry) { e.First, e.Last = 3000, 1000 },
	} {
		e := good
		change(&e)
		if err := w.Add(e, sealed); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, bytes := range map[string][]byte{"cut off": sealed[:len(sealed)-1], "any": []byte("block")} {
		if err := w.Add(good, bytes); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	wider := good
	wider.First, wider.Last = 0, 60_000
	for _, e := range []Entry{good, wider, {Key: l.key()}, {Key: l.key(), Flags: 200}} {
		check(t, w.Add(e, sealed))
	}
	f, err := w.Commit()
	check(t, err)
	defer f.Release()
	if n := f.Blocks(); n != 4 {
		t.Error(fmt.Sprint(n, " blocks"))
	}
	if bad, err := f.Verify(t.Context()); err != nil || len(bad) > 0 {
		t.Error(bad, err)
	}
}
