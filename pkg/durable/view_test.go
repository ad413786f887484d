package durable_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// systems are a file system that maps files, and one that does not.
func systems(t *testing.T, f func(t *testing.T, dir string, opts durable.Options)) {
	t.Run("mapped", func(t *testing.T) { f(t, t.TempDir(), durable.Options{SegmentBytes: 4 * model.KiB}) })
	t.Run("read", func(t *testing.T) {
		f(t, "/log", durable.Options{SegmentBytes: 4 * model.KiB, FS: durabletest.New(1)})
	})
}

// numbered is the data of the n-th record of a test.
func numbered(n uint64) []byte { return fmt.Appendf(nil, "%d|%*d", n, int(n%700), n) }

func appendNumbered(t testing.TB, log *durable.Log, from, to uint64) {
	t.Helper()
	for n := from; n <= to; n++ {
		if first, err := log.Append(numbered(n)); err != nil || first != n {
			t.Fatalf("record %d is %d: %v", n, first, err)
		}
	}
}

func wantView(t testing.TB, v *durable.Viewer, from, to uint64) {
	t.Helper()
	for n := from; n <= to; n++ {
		if got, err := v.View(n); err != nil || !bytes.Equal(got, numbered(n)) {
			t.Fatalf("record %d: got %q and %v, want %q", n, got, err, numbered(n))
		}
	}
}

func wantNone(t testing.TB, v *durable.Viewer, indexes ...uint64) {
	t.Helper()
	for _, index := range indexes {
		if got, err := v.View(index); !errors.Is(err, durable.ErrDropped) {
			t.Errorf("record %d: got %q and %v, want %v", index, got, err, durable.ErrDropped)
		}
	}
}

func TestViewsOfAllSegments(t *testing.T) {
	systems(t, func(t *testing.T, dir string, opts durable.Options) {
		log := openReal(t, dir, opts)
		v := log.Viewer()
		defer v.Close()
		wantNone(t, v, 0, 1)
		appendNumbered(t, log, 1, 100)
		wantView(t, v, 1, 100)
		check(t, log.Sync())
		wantView(t, v, 1, 100)
		for n := uint64(100); n > 0; n-- {
			wantView(t, v, n, n)
		}
		wantNone(t, v, 0, 101, 1<<63, 1<<64-1)
		check(t, log.Close())
		if _, err := v.View(50); !errors.Is(err, durable.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		log = openReal(t, dir, opts) // offsets have to be found out
		v = log.Viewer()
		defer v.Close()
		for n := uint64(1); n <= 100; n++ {
			wantView(t, v, (n*37)%101, (n*37)%101)
		}
		appendNumbered(t, log, 101, 120)
		wantView(t, v, 1, 120)
	})
}

func TestViewsOfTheOpenSegmentAsItGrows(t *testing.T) {
	systems(t, func(t *testing.T, dir string, opts durable.Options) {
		opts.SegmentBytes, opts.Buffer = 8*model.KiB, 1
		log := openReal(t, dir, opts)
		appendNumbered(t, log, 1, 3) // before there is a viewer
		v := log.Viewer()
		defer v.Close()
		for n := uint64(4); n < 200; n++ {
			appendNumbered(t, log, n, n)
			if n%3 == 0 {
				check(t, log.Sync())
			}
			wantView(t, v, max(1, n-20), n)
		}
		huge := bytes.Repeat([]byte("x"), 300_000) // more than was mapped ahead
		for range 2 {
			index, err := log.Append(huge, huge)
			check(t, err)
			check(t, log.Sync())
			for range 2 {
				got, err := v.View(index + 1)
				if err != nil || !bytes.Equal(got, huge) {
					t.Fatalf("got %d bytes, %v", len(got), err)
				}
			}
		}
	})
}

func TestRotateMakesRoomForDropThrough(t *testing.T) {
	systems(t, func(t *testing.T, dir string, opts durable.Options) {
		log := openReal(t, dir, opts)
		check(t, log.Rotate())
		if got := log.Stats().Segments; got != 1 {
			t.Errorf("an empty log has %d segments", got)
		}
		appendNumbered(t, log, 1, 3)
		check(t, log.Rotate())
		check(t, log.Rotate())
		if s := log.Stats(); s.Segments != 2 || s.Synced != 4 {
			t.Errorf("got %+v", s)
		}
		v, still := log.Viewer(), log.Viewer()
		defer v.Close()
		defer still.Close()
		wantView(t, still, 2, 2)
		check(t, log.DropThrough(3))
		if log.Oldest() != 4 || log.Next() != 4 {
			t.Errorf("%d to %d", log.Oldest(), log.Next())
		}
		wantNone(t, v, 1, 2, 3, 4)
		wantView(t, still, 1, 3) // who was in the segment still is
		appendNumbered(t, log, 4, 4)
		wantView(t, still, 1, 4) // what is not synced is in memory
		check(t, log.Sync())
		wantView(t, still, 4, 4)
		wantNone(t, still, 2)
	})
}

func TestViewsOfRecordsThatMoved(t *testing.T) {
	disk := durabletest.New(7)
	log := openReal(t, "/log", durable.Options{FS: disk, Buffer: 1})
	v := log.Viewer()
	defer v.Close()
	appendNumbered(t, log, 1, 5)
	check(t, log.Sync())
	appendNumbered(t, log, 6, 9)
	disk.SetFaults(durabletest.Faults{Sync: 1})
	if err := log.Sync(); !errors.Is(err, durable.ErrDisk) {
		t.Fatal(err)
	}
	wantView(t, v, 1, 9)
	disk.SetFaults(durabletest.Faults{})
	appendNumbered(t, log, 10, 12) // into a new segment, behind 6 to 9
	if s := log.Stats(); s.Segments != 2 {
		t.Errorf("got %+v", s)
	}
	wantView(t, v, 1, 12)
	check(t, log.Sync())
	wantView(t, v, 1, 12)
	check(t, log.Advance(100))
	wantNone(t, v, 13, 99, 100)
	appendNumbered(t, log, 100, 101)
	wantView(t, v, 100, 101)
	wantView(t, v, 1, 12)
}

// Every flipped byte of a segment costs a record at most, whoever found out where
// the records are.
func TestViewsOfDamage(t *testing.T) {
	clean := durabletest.New(1)
	const name = "/log/000000000001.log"
	log := openReal(t, "/log", durable.Options{FS: clean})
	const records = 9
	for n := uint64(1); n <= records; n++ {
		mustAppend(t, log, fmt.Sprintf("record %d", n))
	}
	check(t, log.Rotate())
	mustAppend(t, log, "the last one")
	check(t, log.Close())
	whole, _ := clean.Content(name)
	end, _ := clean.Content("/log/000000000002.log")
	for at := 64; at < len(whole); at++ {
		for how, find := range map[string]func(log *durable.Log){
			"by itself": func(*durable.Log) {},
			"by a reader": func(log *durable.Log) {
				if _, err := log.Verify(); err != nil {
					t.Fatal(err)
				}
			},
		} {
			disk := durabletest.New(1)
			bad := bytes.Clone(whole)
			bad[at] ^= 0x20
			disk.SetContent(name, bad)
			disk.SetContent("/log/000000000002.log", end)
			log := openReal(t, "/log", durable.Options{FS: disk})
			v := log.Viewer()
			find(log)
			lost := 0
			for n := uint64(1); n <= records; n++ {
				got, err := v.View(n)
				var damage *durable.Damage
				switch {
				case errors.As(err, &damage):
					lost++
					if damage.File != name || damage.Offset > int64(at) || damage.Offset+damage.Length <= int64(at) || damage.Lost.First > n || damage.Lost.End <= n {
						t.Errorf("byte %d, record %d: %v", at, n, damage)
					}
				case err != nil || string(got) != fmt.Sprintf("record %d", n):
					t.Errorf("byte %d: record %d is %q, %v", at, n, got, err)
				}
			}
			if lost > 1 {
				t.Errorf("byte %d, found out %s: %d records lost", at, how, lost)
			}
			v.Close()
			check(t, log.Close())
		}
	}
}

func TestViewsOfFilesThatChangeUnderneath(t *testing.T) {
	const name = "000000000001.log"
	systems(t, func(t *testing.T, dir string, opts durable.Options) {
		if opts.FS != nil {
			return
		}
		log := openReal(t, dir, opts)
		v, other := log.Viewer(), log.Viewer()
		defer v.Close()
		defer other.Close()
		check(t, log.Rotate())
		for n := uint64(1); n <= 10; n++ {
			mustAppend(t, log, string(bytes.Repeat([]byte{byte(n)}, 2000)))
		}
		check(t, log.Sync())
		if _, err := v.View(1); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		content, err := os.ReadFile(path)
		check(t, err)
		flipped := bytes.Clone(content)
		flipped[64+12+500] ^= 1
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		check(t, err)
		defer file.Close()
		if _, err := file.WriteAt(flipped, 0); err != nil {
			t.Fatal(err)
		}
		var damage *durable.Damage
		if _, err := other.View(1); !errors.As(err, &damage) || damage.Offset != 64 {
			t.Errorf("a flipped byte: %v", err)
		}
		// The file is cut: what is not there any more is a fault, and not the end.
		check(t, file.Truncate(0))
		for _, viewer := range []*durable.Viewer{v, other} {
			if _, err := viewer.View(1); !errors.As(err, &damage) {
				t.Errorf("a file that was cut: %v", err)
			}
		}
		if _, err := file.WriteAt(content, 0); err != nil {
			t.Fatal(err)
		}
		got, err := v.View(1)
		check(t, err)
		check(t, file.Truncate(0))
		err = durable.Guard(func() error {
			_ = bytes.Clone(got)
			return nil
		})
		if !errors.Is(err, durable.ErrDisk) {
			t.Errorf("guarded: %v", err)
		}
		if _, err := file.WriteAt(content, 0); err != nil {
			t.Fatal(err)
		}
		check(t, os.Remove(filepath.Join(dir, "000000000002.log")))
		if _, err := other.View(3); !errors.As(err, &damage) || damage.Lost.Count() == 0 {
			t.Errorf("a file that is missing: %v", err)
		}
	})
}

func TestGuardLetsOtherPanicsPass(t *testing.T) {
	want := errors.New("mine")
	if err := durable.Guard(func() error { return want }); err != want {
		t.Errorf("got %v", err)
	}
	for what, f := range map[string]func(){
		"a panic":       func() { panic("of f") },
		"a nil pointer": func() { var p *int; *p = 1 },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s was swallowed", what)
				}
			}()
			durable.Guard(func() error { f(); return nil })
		}()
	}
}

// TestViewsWhileOthersAppendAndDrop is for the race detector.
func TestViewsWhileOthersAppendAndDrop(t *testing.T) {
	systems(t, func(t *testing.T, dir string, opts durable.Options) {
		log := openReal(t, dir, opts)
		appendNumbered(t, log, 1, 20)
		var all sync.WaitGroup
		stop := make(chan struct{})
		for i := range 4 {
			all.Go(func() {
				v := log.Viewer()
				defer v.Close()
				for n := uint64(i); ; n += 3 {
					select {
					case <-stop:
						return
					default:
					}
					oldest, next := log.Oldest(), log.Next()
					index := oldest + n%(next-oldest)
					got, err := v.View(index)
					switch {
					case errors.Is(err, durable.ErrDropped) && log.Oldest() > index:
					case err != nil || !bytes.Equal(got, numbered(index)):
						t.Errorf("record %d: got %q and %v", index, got, err)
						return
					}
				}
			})
		}
		for n := uint64(21); n < 300; n++ {
			appendNumbered(t, log, n, n)
			switch {
			case n%50 == 0:
				check(t, log.DropThrough(n-40))
			case n%7 == 0:
				check(t, log.Sync())
			}
		}
		close(stop)
		all.Wait()
	})
}

func TestViewersShareMappings(t *testing.T) {
	dir := t.TempDir()
	log := openReal(t, dir, durable.Options{SegmentBytes: 4 * model.KiB})
	appendNumbered(t, log, 1, 300)
	check(t, log.Sync())
	maps := func() (n int) {
		text, err := os.ReadFile("/proc/self/maps")
		if err != nil {
			t.Skip(err)
		}
		return bytes.Count(text, []byte(dir))
	}
	var viewers []*durable.Viewer
	for range 5 {
		v := log.Viewer()
		wantView(t, v, 1, 300)
		viewers = append(viewers, v)
	}
	segments := log.Stats().Segments
	if got := maps(); got > segments {
		t.Errorf("%d mappings of %d segments", got, segments)
	}
	wantView(t, viewers[0], 1, 1)
	check(t, log.DropThrough(299))
	if got := maps(); got > 2 {
		t.Errorf("%d mappings when all but the last segment went, want that and the one that is viewed", got)
	}
	for _, v := range viewers {
		v.Close()
	}
	check(t, log.Close())
	if got := maps(); got != 0 {
		t.Errorf("%d mappings in the end", got)
	}
}
