package volume

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// mapped counts the mappings of files of the folder.
func mapped(t *testing.T, dir string) (n int) {
	t.Helper()
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip(err)
	}
	for line := range strings.Lines(string(maps)) {
		if strings.Contains(line, dir) {
			n++
		}
	}
	return n
}

func TestManyVolumesAreOpenedFoundAndLetGo(t *testing.T) {
	const volumes, minute = 300, 60_000
	dir := t.TempDir()
	set := openSet(t, dir, Deps{FS: hasty{OS()}})
	keys := fleetKeys(100)
	for v := range model.Millis(volumes) {
		w, err := set.Create(Raw)
		check(t, err)
		for _, k := range keys {
			check(t, w.Add(Entry{Key: k, First: v * minute, Last: v*minute + minute - 1}, nil))
		}
		f, err := w.Commit()
		check(t, err)
		f.Release()
	}
	if n := mapped(t, dir); n != 0 {
		t.Errorf("%d mappings before anything is opened", n)
	}
	check(t, set.Close())

	set = openSet(t, dir, Deps{})
	view := set.Files(Raw, 100*minute, 200*minute)
	found, err := view.Find(nil, keys[7], 100*minute, 200*minute)
	check(t, err)
	if len(view.Files()) != 101 || len(found) != 101 || found[0].First != 100*minute || found[100].First != 200*minute {
		t.Errorf("%d volumes, %d entries", len(view.Files()), len(found))
	}
	now := time.UnixMilli(volumes * minute)
	removed, err := set.Retain(now, Retention{Age: [Tiers]time.Duration{Raw: 150 * time.Minute}})
	check(t, err)
	s := set.Stats()
	if len(removed) != 150 || s.Tiers[Raw].Files != 150 || s.Leaving != 50 {
		t.Errorf("%d removed, left are %+v", len(removed), s)
	}
	view.Release()
	check(t, set.Close())
	if n := mapped(t, dir); n != 0 {
		t.Errorf("%d mappings are left", n)
	}
}

// What is found, and opened again, costs no memory.
func TestFindingDoesNotAllocate(t *testing.T) {
	set := openSet(t, dir, deps(newMemory()))
	for i := range 3 {
		add(t, set, Raw, model.Millis(i)*10_000, 100)
	}
	view := set.All()
	defer view.Release()
	k := laneOf(50).key()
	found, err := view.Find(nil, k, 0, 1<<40)
	check(t, err)
	if len(found) != 3 {
		t.Fatal(found)
	}
	b, err := found[0].File.Block(found[0].Entry, nil)
	check(t, err)
	if n := testing.AllocsPerRun(100, func() {
		found, _ = view.Find(found[:0], k, 0, 1<<40)
		for _, l := range found {
			if _, err := l.File.Block(l.Entry, b); err != nil {
				t.Fatal(err)
			}
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
