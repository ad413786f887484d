package snapshot

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
)

func make1(t testing.TB, disk durable.FS, dir string) Manifest {
	t.Helper()
	m, err := Create(t.Context(), disk, dir, fill(disk, contents()))
	check(t, err)
	return m
}

func TestASnapshotIsMadeCheckedAndRestored(t *testing.T) {
	real := t.TempDir()
	for name, disk := range map[string]durable.FS{"memory": durabletest.New(1), "real": durable.OS()} {
		t.Run(name, func(t *testing.T) {
			at, to := real+"/"+name+"/snapshot", real+"/"+name+"/store"
			m := make1(t, disk, at)
			if len(m.Files) != len(contents()) || !m.Created.Equal(created) {
				t.Errorf("made is %+v", m)
			}
			read, found, err := Check(t.Context(), disk, at)
			if err != nil || len(found) > 0 || !cmp.Equal(m, read) {
				t.Errorf("check: %+v, %v, %v", read, found, err)
			}
			restored, err := Restore(t.Context(), disk, at, disk, to)
			if err != nil || !cmp.Equal(m, restored) {
				t.Errorf("restore: %+v, %v", restored, err)
			}
			files, err := sums(t.Context(), disk, to)
			if err != nil || !cmp.Equal(m.Files, files) {
				t.Errorf("restored is %+v, %v", files, err)
			}
			if others, err := disk.List(to); err != nil || len(others) > 0 {
				t.Errorf("left is %v, %v", others, err)
			}
			if _, err := Restore(t.Context(), disk, at, disk, to); !errors.Is(err, ErrExists) {
				t.Errorf("over a store: %v", err)
			}
			if _, err := Create(t.Context(), disk, at, fill(disk, contents())); !errors.Is(err, ErrExists) {
				t.Errorf("over a snapshot: %v", err)
			}
			lock, err := disk.Lock(to)
			check(t, err)
			defer lock.Close()
			if _, err := Restore(t.Context(), disk, at, disk, to); !errors.Is(err, durable.ErrLocked) {
				t.Errorf("into a store that is open: %v", err)
			}
		})
	}
	if _, err := Restore(t.Context(), durable.OS(), t.TempDir(), durable.OS(), t.TempDir()); !errors.Is(err, ErrNone) {
		t.Errorf("of nothing: %v", err)
	}
}

func TestWhatFailsLeavesNothing(t *testing.T) {
	disk := durabletest.New(1)
	oops := errors.New("oops")
	_, err := Create(t.Context(), disk, "snapshot", func(dir string) (time.Time, error) {
		at, _ := fill(disk, contents())(dir)
		return at, oops
	})
	if !errors.Is(err, oops) || len(disk.Names()) > 0 {
		t.Errorf("got %v, left is %q", err, disk.Names())
	}
	disk.SetRoom(30)
	if _, err := Create(t.Context(), disk, "snapshot", fill(disk, contents())); !errors.Is(err, durable.ErrFull) || len(disk.Names()) > 0 {
		t.Errorf("got %v, left is %q", err, disk.Names())
	}
	disk.SetRoom(1 << 20)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Create(canceled, disk, "snapshot", fill(disk, contents())); !errors.Is(err, context.Canceled) || len(disk.Names()) > 0 {
		t.Errorf("got %v, left is %q", err, disk.Names())
	}
	make1(t, disk, "snapshot")
	before := disk.Names()
	if _, err := Restore(canceled, disk, "snapshot", disk, "store"); !errors.Is(err, context.Canceled) || !cmp.Equal(disk.Names(), before) {
		t.Errorf("got %v, left is %q", err, disk.Names())
	}
	disk.SetRoom(20)
	if _, err := Restore(t.Context(), disk, "snapshot", disk, "store"); !errors.Is(err, durable.ErrFull) || !cmp.Equal(disk.Names(), before) {
		t.Errorf("got %v, left is %q", err, disk.Names())
	}
}

func TestEveryFlippedByteAndEveryMissingFileIsFound(t *testing.T) {
	disk := durabletest.New(1)
	make1(t, disk, "snapshot")
	refused := func(name, what string) {
		t.Helper()
		m, found, err := Check(t.Context(), disk, "snapshot")
		var damage *Damage
		switch {
		case errors.As(err, &damage) && damage.File == name:
		case strings.HasSuffix(name, ManifestName) && errors.Is(err, ErrNone):
		case err != nil || len(found) != 1 || found[0].File != name || !strings.Contains(found[0].Error(), name):
			t.Fatalf("%s, %s: found is %v, %v (%+v)", name, what, found, err, m)
		}
		before := disk.Names()
		if _, err := Restore(t.Context(), disk, "snapshot", disk, "store"); err == nil || !strings.Contains(err.Error(), "snapshot") {
			t.Fatalf("%s, %s: restored, %v", name, what, err)
		}
		if diff := cmp.Diff(before, disk.Names()); diff != "" {
			t.Fatalf("%s, %s: left is\n%s", name, what, diff)
		}
	}
	for _, name := range disk.Names() {
		whole, _ := disk.Content(name)
		for at := range whole {
			broken := bytes.Clone(whole)
			broken[at] ^= 0x10
			disk.SetContent(name, broken)
			refused(name, "flipped")
		}
		disk.SetContent(name, append(bytes.Clone(whole), 'x'))
		refused(name, "longer")
		check(t, disk.Remove(name))
		refused(name, "missing")
		disk.SetContent(name, whole)
	}
	disk.SetContent("snapshot/volumes/00000009.raw", nil)
	_, found, err := Check(t.Context(), disk, "snapshot")
	if err != nil || len(found) != 1 || found[0].File != "snapshot/volumes/00000009.raw" {
		t.Errorf("a file that is not of the snapshot: %v, %v", found, err)
	}
}

// The power is cut instead of the n-th change, for each n.
func TestSnapshotsAndPowerCuts(t *testing.T) {
	for n := 1; ; n++ {
		disk := durabletest.New(uint64(n))
		left := n
		var after *durabletest.Disk
		on := stopping{disk, &left, func() error { after = disk.Cut(uint64(n)); return errors.New("power cut") }}
		_, err := Create(t.Context(), on, "snapshot", fill(on, contents()))
		if after == nil {
			check(t, err)
			after = disk.Cut(uint64(n))
			if why := holds(after, "snapshot", contents()); why != "" {
				t.Errorf("after %d changes: %s", n, why)
			}
			t.Logf("%d changes", n-1)
			return
		}
		if m, found, err := Check(t.Context(), after, "snapshot"); !errors.Is(err, ErrNone) && (err != nil || len(found) > 0 || len(m.Files) != len(contents())) {
			t.Errorf("change %d: found is %v, %v", n, found, err)
		}
		// Another try with that name takes the leftovers away.
		if _, err := Create(t.Context(), after, "snapshot", fill(after, contents())); err != nil && !errors.Is(err, ErrExists) {
			t.Errorf("change %d: %v", n, err)
		}
		if why := holds(after, "snapshot", contents()); why != "" {
			t.Errorf("change %d: %s", n, why)
		}
		for _, name := range after.Names() {
			if strings.Contains(name, newSuffix) && !strings.HasPrefix(name, "snapshot"+newSuffix) {
				t.Errorf("change %d: left is %s", n, name)
			}
		}
	}
}

func TestRestoresAndPowerCuts(t *testing.T) {
	for n := 1; ; n++ {
		disk := durabletest.New(uint64(n))
		make1(t, disk, "snapshot")
		left := n
		var after *durabletest.Disk
		on := stopping{disk, &left, func() error { after = disk.Cut(uint64(n)); return errors.New("power cut") }}
		_, err := Restore(t.Context(), disk, "snapshot", on, "store")
		if after == nil {
			check(t, err)
			if why := holds(disk.Cut(uint64(n)), "store", contents()); why != "" {
				t.Errorf("after %d changes: %s", n, why)
			}
			t.Logf("%d changes", n-1)
			return
		}
		restored, err := Finish(after, "store")
		if err != nil {
			t.Errorf("change %d: %v", n, err)
		}
		there, err := list(after, "store")
		check(t, err)
		if why := holds(after, "store", contents()); len(there) > 0 && why != "" || restored && why != "" {
			t.Errorf("change %d: restored %t, there are %v: %s", n, restored, there, why)
		}
		if _, err := Restore(t.Context(), after, "snapshot", after, "store"); (len(there) > 0) != errors.Is(err, ErrExists) || len(there) == 0 && err != nil {
			t.Errorf("change %d: restored %t, once more: %v", n, restored, err)
		}
		for _, name := range after.Names() {
			if strings.Contains(name, newSuffix) {
				t.Errorf("change %d: left is %s", n, name)
			}
		}
	}
}
