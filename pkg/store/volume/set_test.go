package volume

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
)

// openSet opens a set that is closed at the end of the test.
func openSet(t testing.TB, dir string, d Deps) *Set {
	t.Helper()
	set, damages, err := Open(dir, d)
	check(t, err)
	if len(damages) > 0 {
		t.Fatal(damages)
	}
	t.Cleanup(func() { check(t, set.Close()) })
	return set
}

// add makes a volume of one block of each of so many lanes.
func add(t testing.TB, set *Set, tier Tier, start model.Millis, lanes int) *File {
	t.Helper()
	w, err := set.Create(tier)
	check(t, err)
	for n := range lanes {
		l := laneOf(n)
		check(t, w.Add(Entry{Key: l.key()}, l.sealed(t, start, 3)))
	}
	f, err := w.Commit()
	check(t, err)
	set.Add(f)
	return f
}

func numbers(set *Set) (all []uint64) {
	v := set.All()
	defer v.Release()
	for _, f := range v.Files() {
		all = append(all, f.Number())
	}
	return all
}

func TestNumbersRiseAndAreNotUsedTwice(t *testing.T) {
	fs := newMemory()
	set, _, err := Open(dir, deps(fs))
	check(t, err)
	if n := set.NextNumber(); n != 1 {
		t.Errorf("first: %d", n)
	}
	add(t, set, Raw, 0, 1)
	w, err := set.Create(Minute)
	check(t, err)
	if w.Number() != 2 || w.Tier() != Minute {
		t.Errorf("second: %d %v", w.Number(), w.Tier())
	}
	check(t, w.Abort())
	set.Reserve(4)
	set.Reserve(3)
	f := add(t, set, Hour, 0, 1)
	if f.Number() != 5 || !set.Has(5) || set.Has(2) || !set.Has(1) || set.NextNumber() != 6 {
		t.Errorf("number %d, then %d", f.Number(), set.NextNumber())
	}
	check(t, set.Close())
	check(t, set.Close())
	if _, err := set.Create(Raw); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}

	fs.SetContent(dir+"/00000009.1m.new", nil)
	fs.SetContent(dir+"/00000012.1m.damaged", nil)
	fs.SetContent(dir+"/123456789.raw.damaged", nil)
	set = openSet(t, dir, deps(fs))
	if set.NextNumber() != 123456790 {
		t.Errorf("opened again: %d", set.NextNumber())
	}
}

func TestOtherFilesAreLeftAloneAndUnfinishedOnesRemoved(t *testing.T) {
	fs := newMemory()
	others := []string{"notes.txt", "7.raw", "00000000.raw", "00000007.2m", "00000007.raw.old", "00000007.raw.damaged", "0000000x.raw", "000000017.raw", "00000007.raw.new.new"}
	for _, name := range append(others, "00000008.raw.new") {
		fs.SetContent(filepath.Join(dir, name), []byte("mine"))
	}
	set := openSet(t, dir, deps(fs))
	if got := fs.Names(); len(got) != len(others) || slices.Contains(got, dir+"/00000008.raw.new") {
		t.Errorf("left are %v", got)
	}
	if len(numbers(set)) > 0 {
		t.Errorf("volumes %v", numbers(set))
	}
}

func TestAFolderHasOneSet(t *testing.T) {
	dir := t.TempDir()
	openSet(t, dir, Deps{})
	if _, _, err := Open(dir, Deps{}); !errors.Is(err, durable.ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("got %v", err)
	}
}

func TestFindGoesThroughAllVolumesInTheOrderOfTimes(t *testing.T) {
	set := openSet(t, t.TempDir(), Deps{})
	for _, start := range []model.Millis{50_000, 10_000, 30_000, 10_000} {
		add(t, set, Raw, start, 5)
	}
	add(t, set, Minute, 10_000, 5)
	k := laneOf(3).key()
	for _, c := range []struct {
		from, to model.Millis
		want     string
	}{
		{0, 100_000, "2@10000 4@10000 3@30000 1@50000"},
		{12_000, 30_000, "2@10000 4@10000 3@30000"}, // both ends are included
		{12_001, 29_999, ""},
		{52_000, 52_000, "1@50000"},
		{52_001, 100_000, ""},
	} {
		view := set.Files(Raw, c.from, c.to)
		found, err := view.Find(nil, k, c.from, c.to)
		check(t, err)
		var got []string
		for _, l := range found {
			b, err := l.File.Block(l.Entry, nil)
			check(t, err)
			if b.Worker() != k.Worker || b.Rows() != 3 || l.Rows != 3 {
				t.Errorf("block of %v with %d rows", b.Worker(), b.Rows())
			}
			got = append(got, fmt.Sprintf("%d@%d", l.File.Number(), l.First))
		}
		if text := strings.Join(got, " "); text != c.want {
			t.Errorf("%d to %d: got %q, want %q", c.from, c.to, text, c.want)
		}
		view.Release()
	}
	view := set.Files(Raw, 0, 100_000)
	defer view.Release()
	for _, unknown := range []Key{{}, laneOf(5).key(), {Worker: k.Worker, Labels: k.Labels, Stream: 9}, {Worker: model.WorkerID{0xff, 0xff}}} {
		if found, err := view.Find(nil, unknown, 0, 100_000); err != nil || len(found) > 0 {
			t.Errorf("%v: %v, %v", unknown, found, err)
		}
	}
}

// A lane whose entries fill several pages of the index is found from any of them.
func TestALaneMayFillPages(t *testing.T) {
	for _, before := range []int{0, 1, 60, 63, 64, 65} {
		w, err := Create(dir, 7, Raw, deps(newMemory()))
		check(t, err)
		first, second, third := Key{Worker: model.WorkerID{1}}, Key{Worker: model.WorkerID{2}}, Key{Worker: model.WorkerID{3}}
		for i := range before {
			check(t, w.Add(Entry{Key: first, First: model.Millis(i), Last: model.Millis(i)}, nil))
		}
		for i := range 200 {
			check(t, w.Add(Entry{Key: second, First: model.Millis(i), Last: model.Millis(i + 10)}, nil))
		}
		check(t, w.Add(Entry{Key: third}, nil))
		f, err := w.Commit()
		check(t, err)
		for _, c := range []struct{ from, to, want model.Millis }{{0, 1000, 200}, {0, 0, 1}, {209, 209, 1}, {100, 100, 11}, {63, 64, 12}, {210, 300, 0}} {
			found, err := f.Find(nil, second, c.from, c.to)
			check(t, err)
			if len(found) != int(c.want) {
				t.Errorf("%d before, from %d to %d: %d entries, want %d", before, c.from, c.to, len(found), c.want)
			}
		}
		if _, err := f.Block(Entry{Key: third}, nil); !errors.Is(err, ErrNoBlock) {
			t.Error(err)
		}
		f.Release()
	}
}

func TestARemovedVolumeLivesUntilItIsLetGo(t *testing.T) {
	set := openSet(t, t.TempDir(), Deps{})
	f := add(t, set, Raw, 10_000, 5)
	view := set.Files(Raw, 0, 20_000)
	check(t, set.Remove(f))
	check(t, set.Remove(f)) // nothing more
	if _, err := os.Stat(f.Path()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("file: %v", err)
	}
	if len(numbers(set)) > 0 || set.Has(f.Number()) {
		t.Errorf("still in the set")
	}
	if s := set.Stats(); s.Leaving != 1 || s.LeavingBytes != f.Size() || s.Bytes() != 0 {
		t.Errorf("stats %+v", s)
	}
	k := laneOf(3).key()
	found, err := view.Find(nil, k, 0, 20_000)
	check(t, err)
	b, err := found[0].File.Block(found[0].Entry, nil)
	check(t, err)
	check(t, Guard(func() error { return block.NewReader().Verify(b) }))

	if !f.Acquire() {
		t.Error("is held, and cannot be held again")
	}
	view.Release()
	view.Release() // once
	if s := set.Stats(); s.Leaving != 1 {
		t.Errorf("stats %+v", s)
	}
	f.Release()
	if f.Acquire() {
		t.Error("is unmapped, and was held")
	}
	if _, err := f.Block(found[0].Entry, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("is unmapped: %v", err)
	}
	if s := set.Stats(); s.Leaving != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestAViewOutlivesTheSet(t *testing.T) {
	set, _, err := Open(t.TempDir(), Deps{})
	check(t, err)
	add(t, set, Raw, 10_000, 5)
	view := set.All()
	check(t, set.Close())
	if c, errs := read(view.Files()[0]); len(c.blocks) != 5 || len(errs) > 0 {
		t.Error(len(c.blocks), errs)
	}
	view.Release()
}

func TestRetention(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	for _, c := range []struct {
		name   string
		r      Retention // Bytes in volumes of 5 lanes
		want   []uint64
		remove []uint64
	}{
		{"no bounds", Retention{}, []uint64{1, 2, 3, 4, 5, 6}, nil},
		{"nothing is so old", Retention{Age: [Tiers]time.Duration{time.Hour, time.Hour, time.Hour}}, []uint64{1, 2, 3, 4, 5, 6}, nil},
		{"age of a tier", Retention{Age: [Tiers]time.Duration{Raw: 500 * time.Second}}, []uint64{3, 4, 5, 6}, []uint64{2, 1}},
		{"of another", Retention{Age: [Tiers]time.Duration{Minute: 500 * time.Second}}, []uint64{1, 2, 3, 4, 6}, []uint64{5}},
		{"to the last row", Retention{Age: [Tiers]time.Duration{Raw: 998 * time.Second}}, []uint64{1, 2, 3, 4, 5, 6}, nil},
		{"bytes: the largest tier pays, oldest first", Retention{Bytes: 4}, []uint64{3, 4, 5, 6}, []uint64{2, 1}},
		{"bytes: the newest of each tier stays", Retention{Bytes: 1}, []uint64{4, 6}, []uint64{2, 1, 3, 5}},
		{"both", Retention{Bytes: 4, Age: [Tiers]time.Duration{Raw: 500 * time.Second, Hour: time.Second}}, []uint64{3, 4, 5, 6}, []uint64{2, 1}},
	} {
		fs := newMemory()
		set := openSet(t, dir, deps(fs))
		var size int64
		for _, v := range []struct {
			tier  Tier
			start model.Millis
		}{{Raw, 200_000}, {Raw, 0}, {Raw, 600_000}, {Raw, 900_000}, {Minute, 0}, {Minute, 900_000}} {
			size = add(t, set, v.tier, v.start, 5).Size()
		}
		c.r.Bytes *= model.Bytes(size)
		removed, err := set.Retain(now, c.r)
		check(t, err)
		var gone []uint64
		for _, info := range removed {
			gone = append(gone, info.Number)
		}
		if got := numbers(set); !slices.Equal(got, c.want) {
			t.Errorf("%s: left are %v, want %v", c.name, got, c.want)
		}
		if !slices.Equal(gone, c.remove) {
			t.Errorf("%s: removed %v, want %v", c.name, gone, c.remove)
		}
		if s := set.Stats(); len(fs.Names()) != s.Tiers[Raw].Files+s.Tiers[Minute].Files {
			t.Errorf("%s: files %v", c.name, fs.Names())
		}
		check(t, set.Close())
	}
}

func TestAVolumeThatCannotBeUnlinkedStays(t *testing.T) {
	fs := newMemory()
	set := openSet(t, dir, deps(fs))
	f := add(t, set, Raw, 0, 1)
	disk := fs.Cut(1)
	if err := set.Remove(f); !errors.Is(err, durable.ErrDisk) || !strings.Contains(err.Error(), f.Path()) {
		t.Errorf("got %v", err)
	}
	if removed, err := set.Retain(time.Now(), Retention{Age: [Tiers]time.Duration{1, 1, 1}}); len(removed) > 0 || err == nil {
		t.Errorf("removed %v, %v", removed, err)
	}
	if !set.Has(1) || len(disk.Names()) != 1 {
		t.Error("it is gone")
	}
}

// Readers look for a lane while volumes come and go: all that they find can be read.
func TestReadersDoNotMindThatVolumesComeAndGo(t *testing.T) {
	set := openSet(t, t.TempDir(), Deps{})
	add(t, set, Raw, 0, 5)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			reader, reuse := block.NewReader(), new(block.Block)
			for {
				select {
				case <-stop:
					return
				default:
				}
				view := set.Files(Raw, 0, 1<<40)
				found, err := view.Find(nil, laneOf(3).key(), 0, 1<<40)
				if err != nil || len(found) == 0 {
					t.Error(len(found), err)
				}
				for _, l := range found {
					b, err := l.File.Block(l.Entry, reuse)
					if err == nil {
						err = reader.Verify(b)
					}
					if err != nil {
						t.Error(err)
					}
				}
				view.Release()
				set.Stats()
			}
		})
	}
	for i := range 60 {
		add(t, set, Raw, model.Millis(i+1)*1000, 5)
		removed, err := set.Retain(time.UnixMilli(int64(i+1)*1000), Retention{Age: [Tiers]time.Duration{Raw: 5 * time.Second}})
		if err != nil || i > 10 && len(removed) != 1 {
			t.Error(removed, err)
		}
	}
	close(stop)
	readers.Wait()
}
