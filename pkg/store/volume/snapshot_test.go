package volume

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
)

func TestSnapshot(t *testing.T) {
	linking, copying := t.TempDir(), newMemory()
	for _, c := range []struct {
		name     string
		from, to string
		deps     Deps
		size     func(string) (int64, error)
	}{
		{"links", filepath.Join(linking, "volumes"), filepath.Join(linking, "there", "volumes"), Deps{}, nil},
		{"copies", "volumes", "snapshot", deps(copying), nil},
	} {
		set := openSet(t, c.from, c.deps)
		var want [][]byte
		for i := range 3 {
			add(t, set, Tier(i), 0, 5)
		}
		view := set.All()
		for _, f := range view.Files() {
			want = append(want, bytes.Clone(f.data))
		}
		check(t, set.Snapshot(c.to))
		for _, f := range view.Files() {
			check(t, set.Remove(f)) // the snapshot stays
		}
		view.Release()
		other := openSet(t, c.to, c.deps)
		view = other.All()
		for i, f := range view.Files() {
			if !bytes.Equal(f.data, want[i]) {
				t.Errorf("%s: volume %d differs", c.name, f.Number())
			}
		}
		if len(view.Files()) != 3 {
			t.Errorf("%s: %v", c.name, view.Files())
		}
		view.Release()
	}
}

func TestASnapshotOverFilesIsRefusedAndLeavesNothing(t *testing.T) {
	fs := newMemory()
	set := openSet(t, dir, deps(fs))
	add(t, set, Raw, 0, 5)
	add(t, set, Raw, 0, 5)
	fs.SetContent("snapshot/00000002.raw", []byte("mine"))
	before := fs.Names()
	if err := set.Snapshot("snapshot"); !errors.Is(err, os.ErrExist) || !strings.Contains(err.Error(), "snapshot/00000002.raw") {
		t.Errorf("got %v", err)
	}
	if got := fs.Names(); !slices.Equal(got, before) {
		t.Errorf("now there are %v", got)
	}
	fs.SetRoom(100)
	if err := set.Snapshot("elsewhere"); !errors.Is(err, durable.ErrFull) {
		t.Errorf("full: %v", err)
	}
	if got := fs.Names(); !slices.Equal(got, before) {
		t.Errorf("now there are %v", got)
	}
}
