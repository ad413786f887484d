package store

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/store/snapshot"
)

// linking is a disk on which files can have several names.
type linking struct{ *disk }

func (l linking) Link(from, to string) error {
	if err := l.take("link", to); err != nil {
		return err
	}
	return l.Disk.Link(from, to)
}

func openLinking(t testing.TB, d *disk, dir string) *Store {
	t.Helper()
	config, deps := on(d)
	config.Dir, deps.FS = dir, linking{d}
	s, err := Open(config, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// everyStep calls f with 0, 1, 2 ... until it reports that so many changes were all.
func everyStep(t *testing.T, f func(n int) (all bool)) {
	t.Helper()
	for n := 0; !t.Failed(); n++ {
		if f(n) {
			t.Logf("%d changes", n)
			return
		}
		if testing.Short() && n > 10 {
			n += 10
		}
	}
}

// The disk fails, and then the power, at any step of a snapshot: the store has everything, the
// snapshot is there wholly or not at all.
func TestPowerCutsWhileASnapshotIsMade(t *testing.T) {
	everyStep(t, func(n int) bool {
		d := newDisk(uint64(n))
		s := openLinking(t, d, "store")
		fill(t, s)
		if err := s.flush(); err != nil {
			t.Fatal(err)
		}
		want := stored(t, s, anySeries())
		d.stopAfter(int64(n), syscall.EIO)
		_, err := s.Snapshot(t.Context(), "snapshots/one")
		stopped := d.goOn()
		after := diskOf(d.Cut(uint64(n)))
		_ = s.Close()
		if !stopped && err != nil {
			t.Fatalf("step %d: %v", n, err)
		}
		wantDiff(t, "the store", want, stored(t, openLinking(t, after, "store"), anySeries()))
		_, found, checkErr := snapshot.Check(t.Context(), after, "snapshots/one")
		if none := errors.Is(checkErr, snapshot.ErrNone); none {
			if err == nil {
				t.Errorf("step %d: the snapshot is not there", n)
			}
			return !stopped
		}
		if checkErr != nil || len(found) > 0 {
			t.Fatalf("step %d: %v, %v", n, found, checkErr)
		}
		if _, err := snapshot.Restore(t.Context(), after, "snapshots/one", after, "other"); err != nil {
			t.Fatalf("step %d: %v", n, err)
		}
		wantDiff(t, "restored", want, stored(t, openLinking(t, after, "other"), anySeries()))
		return !stopped
	})
}

// The disk fails at any step of a snapshot: nothing is left but for what the disk does not
// let go of, the store goes on, and the next try succeeds.
func TestAFailingDiskWhileASnapshotIsMade(t *testing.T) {
	everyStep(t, func(n int) bool {
		d := newDisk(uint64(n))
		s := openLinking(t, d, "store")
		sp, session := fill(t, s)
		d.stopAfter(int64(n), syscall.ENOSPC)
		_, err := s.Snapshot(t.Context(), "snapshots/one")
		stopped := d.goOn()
		if stopped && err != nil && !errors.Is(err, durable.ErrFull) {
			t.Errorf("step %d: %v", n, err)
		}
		sp.frame(1, after(50), 1, 2)
		send(t, session, sp.drain()...)
		want := stored(t, s, anySeries())
		if err != nil {
			_, err := s.Snapshot(t.Context(), "snapshots/one")
			if errors.Is(err, snapshot.ErrExists) { // it was whole, but for the name of which nobody knew whether it would last
				if _, found, err := snapshot.Check(t.Context(), d, "snapshots/one"); err != nil || len(found) > 0 {
					t.Errorf("step %d: %v, %v", n, found, err)
				}
				return !stopped
			}
			if err != nil {
				t.Fatalf("step %d: the next try: %v", n, err)
			}
			if _, err := snapshot.Restore(t.Context(), d, "snapshots/one", d, "other"); err != nil {
				t.Fatalf("step %d: %v", n, err)
			}
			wantDiff(t, "restored", want, stored(t, openLinking(t, d, "other"), anySeries()))
		}
		for _, name := range d.Names() {
			if strings.Contains(name, ".new") {
				t.Errorf("step %d: left is %s", n, name)
			}
		}
		return !stopped
	})
}

// The power fails at any step of an import: what was taken over by then is there wholly, and
// the next try brings the rest.
func TestPowerCutsDuringAnImport(t *testing.T) {
	var want map[string][]point
	first := newDisk(1)
	s := openLinking(t, first, "first")
	fill(t, s)
	want = stored(t, s, anySeries())
	if _, err := s.Snapshot(t.Context(), "snapshot"); err != nil {
		t.Fatal(err)
	}
	everyStep(t, func(n int) bool {
		d := newDisk(uint64(n))
		for _, name := range first.Names() {
			if strings.HasPrefix(name, "snapshot/") {
				b, _ := first.Content(name)
				d.SetContent(name, b)
			}
		}
		other := openLinking(t, d, "store")
		d.stopAfter(int64(n), syscall.EIO)
		_, err := other.Import(t.Context(), "snapshot")
		stopped := d.goOn()
		after := diskOf(d.Cut(uint64(n)))
		_ = other.Close()
		if !stopped && err != nil {
			t.Fatalf("step %d: %v", n, err)
		}
		again := openLinking(t, after, "store")
		for series, points := range stored(t, again, anySeries()) {
			for _, p := range points {
				if !slices.Contains(want[series], p) && !p.Ended {
					t.Fatalf("step %d: %s has %+v", n, series, p)
				}
			}
		}
		for _, name := range after.Names() {
			if strings.Contains(name, ".new") {
				t.Errorf("step %d: left is %s", n, name)
			}
		}
		done, err := again.Import(t.Context(), "snapshot")
		if err != nil {
			t.Fatalf("step %d: the next try: %v", n, err)
		}
		if done.Known+done.Volumes != 3 || !stopped && done.Known != 3 {
			t.Errorf("step %d: the next try: %+v", n, done)
		}
		wantDiff(t, "imported", want, stored(t, again, anySeries()))
		return !stopped
	})
	if len(slices.Collect(maps.Keys(want))) == 0 {
		t.Error("there was nothing to import")
	}
}
