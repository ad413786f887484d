package durable_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// noLinks is a file system on which files have one name.
type noLinks struct{ durable.FS }

func (noLinks) Link(string, string) error { return errors.ErrUnsupported }

func TestASnapshotIsALogOfItsOwn(t *testing.T) {
	disk := durabletest.New(1)
	for name, file := range map[string]durable.FS{"real": durable.OS(), "linked": disk, "copied": noLinks{disk}} {
		t.Run(name, func(t *testing.T) {
			at := filepath.Join(t.TempDir(), name)
			opts := durable.Options{FS: file, SegmentBytes: 4 * model.KiB}
			log := openReal(t, at+"/log", opts)
			var want []string
			for i := range 200 {
				mustAppend(t, log, fmt.Sprintf("record %d of the log", i))
				want = append(want, fmt.Sprintf("%d:record %d of the log", i+1, i))
			}
			if err := log.Snapshot(at + "/snapshot"); err != nil {
				t.Fatal(err)
			}
			mustAppend(t, log, "after it")
			if found, err := durable.Check(at+"/snapshot", file); err != nil || len(found) > 0 {
				t.Errorf("check: %v, %v", found, err)
			}
			copied := openReal(t, at+"/snapshot", opts)
			if got := read(t, copied.Read(0)); got != strings.Join(want, " ") {
				t.Errorf("in the snapshot is\n%s", got)
			}
			mustAppend(t, copied, "of the copy")
			if err := copied.Sync(); err != nil {
				t.Fatal(err)
			}
			want = append(want, "201:after it")
			if got := read(t, log.Read(0)); got != strings.Join(want, " ") {
				t.Errorf("after an append to the snapshot the log has\n%s", got)
			}
			// It overwrites nothing.
			if err := log.Snapshot(at + "/snapshot"); !errors.Is(err, fs.ErrExist) {
				t.Errorf("over a log: %v", err)
			}
			if err := log.DropThrough(log.Next()); err != nil {
				t.Fatal(err)
			}
			if got := read(t, copied.Read(0)); !strings.HasPrefix(got, "1:record 0") || !strings.HasSuffix(got, "201:of the copy") {
				t.Errorf("when the log has dropped its records, the snapshot has\n%s", got)
			}
		})
	}
}

func TestASnapshotOfNothing(t *testing.T) {
	disk := durabletest.New(1)
	log := openReal(t, "log", durable.Options{FS: disk})
	if err := log.Snapshot("snapshot"); err != nil {
		t.Fatal(err)
	}
	copied := openReal(t, "snapshot", durable.Options{FS: disk})
	if first := mustAppend(t, copied, "one"); first != 1 {
		t.Errorf("the first record has index %d", first)
	}
	log.Close()
	if err := log.Snapshot("other"); !errors.Is(err, durable.ErrClosed) {
		t.Errorf("of a closed log: %v", err)
	}
}

// A snapshot that was reported is there after a power cut, and one that failed leaves nothing.
func TestASnapshotOutlivesAPowerCut(t *testing.T) {
	for seed := range uint64(*seeds) {
		disk := durabletest.New(seed)
		log := openReal(t, "log", durable.Options{FS: disk, SegmentBytes: 4 * model.KiB})
		for i := range 100 {
			mustAppend(t, log, fmt.Sprintf("record %d, %s", i, strings.Repeat("x", 100)))
		}
		if seed%2 == 1 {
			disk.SetFaults(durabletest.Faults{Write: .05, Sync: .05, Name: .05, SyncFolder: .05})
		}
		err := log.Snapshot("snapshot")
		disk.SetFaults(durabletest.Faults{})
		after := disk.Cut(seed)
		log.Close()
		copied, found, openErr := durable.Open("snapshot", durable.Options{FS: after, Check: true})
		if openErr != nil {
			t.Fatalf("seed %d: %v", seed, openErr)
		}
		if err == nil && (len(found) > 0 || copied.Next() != 101 || copied.Oldest() != 1) {
			t.Errorf("seed %d: records %d to %d, damage %v", seed, copied.Oldest(), copied.Next(), found)
		}
		copied.Close()
	}
}

func TestCheckFindsWhatOpenWouldAndChangesNothing(t *testing.T) {
	disk := durabletest.New(1)
	log := openReal(t, "log", durable.Options{FS: disk, SegmentBytes: 4 * model.KiB})
	for i := range 100 {
		mustAppend(t, log, fmt.Sprintf("record %d, %s", i, strings.Repeat("x", 100)))
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	if found, err := durable.Check("log", disk); err != nil || len(found) > 0 {
		t.Fatalf("of a whole log: %v, %v", found, err)
	}
	if found, err := durable.Check(filepath.Join(t.TempDir(), "nowhere"), nil); err != nil || len(found) > 0 {
		t.Fatalf("of no log: %v, %v", found, err)
	}
	for _, name := range disk.Names() {
		whole, _ := disk.Content(name)
		for at := 0; at < len(whole); at += 31 {
			broken := append([]byte(nil), whole...)
			broken[at] ^= 0x20
			disk.SetContent(name, broken)
			found, err := durable.Check("log", disk)
			if err != nil {
				t.Fatal(err)
			}
			if len(found) == 0 || found[0].File != name || found[0].Offset > int64(at) {
				t.Fatalf("%s, byte %d: found is %v", name, at, found)
			}
			if now, _ := disk.Content(name); string(now) != string(broken) {
				t.Fatalf("%s was changed", name)
			}
		}
		disk.SetContent(name, whole)
	}
}

func TestReadOnlyFoldersCanBeChecked(t *testing.T) {
	dir := t.TempDir()
	log := openReal(t, dir, durable.Options{})
	mustAppend(t, log, "one")
	log.Close()
	names, err := filepath.Glob(filepath.Join(dir, "*.log"))
	if err != nil || len(names) != 1 {
		t.Fatal(names, err)
	}
	if err := os.Chmod(names[0], 0o400); err != nil {
		t.Fatal(err)
	}
	if found, err := durable.Check(dir, durable.ReadOnly()); err != nil || len(found) > 0 {
		t.Errorf("%v, %v", found, err)
	}
	file, err := durable.ReadOnly().Open(names[0])
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteAt([]byte("x"), 0); err == nil {
		t.Error("what was opened for reading only was written to")
	}
}
