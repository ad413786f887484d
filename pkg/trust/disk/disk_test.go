package disk

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestCreateLosesARaceWithoutHarm(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ca.key")
	if err := Create(path, []byte("first"), Private); err != nil {
		t.Fatal(err)
	}
	if err := Create(path, []byte("second"), Private); !errors.Is(err, fs.ErrExist) {
		t.Errorf("second: got %v, want fs.ErrExist", err)
	}
	if data, _ := os.ReadFile(path); string(data) != "first" {
		t.Errorf("file holds %q, want first", data)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 1 {
		t.Errorf("folder holds %v, want the file only", entries)
	}
}

func TestReplaceAndRemove(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x")
	for _, text := range []string{"one", "two"} {
		if err := Replace(path, []byte(text), Private); err != nil {
			t.Fatal(err)
		}
		if data, err := ReadPrivate(path, 3); err != nil || string(data) != text {
			t.Errorf("got %q, %v; want %q", data, err, text)
		}
	}
	if _, err := Read(path, 2); err == nil {
		t.Errorf("three bytes read where two are the limit")
	}
	if err := os.Chmod(path, 0o604); err != nil {
		t.Fatal(err)
	}
	if _, err := ReadPrivate(path, 3); !errors.Is(err, ErrMode) {
		t.Errorf("mode 0604: got %v, want ErrMode", err)
	}
	for range 2 {
		if err := Remove(path, filepath.Join(filepath.Dir(path), "gone", "y")); err != nil {
			t.Error(err)
		}
	}
}

func TestSweepTakesWhatWasBeingWrittenOnly(t *testing.T) {
	dir := t.TempDir()
	kept := []string{"x", ".x", ".hidden.file", "x.12", ".12", ".x.12a", ".x."}
	for _, name := range append([]string{".x.12", ".a.key.3894756"}, kept...) {
		if err := os.WriteFile(filepath.Join(dir, name), nil, Private); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".y.1"), Folder); err != nil {
		t.Fatal(err)
	}
	if err := Sweep(dir); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != len(kept)+1 {
		t.Errorf("left: %v, %v; want %q and a folder", entries, err, kept)
	}
}

func TestLockKeepsOthersOut(t *testing.T) {
	dir := t.TempDir()
	var all sync.WaitGroup
	var inside atomic.Int32
	for range 8 {
		all.Go(func() {
			unlock, err := Lock(dir)
			if err != nil {
				t.Error(err)
				return
			}
			defer unlock()
			if inside.Add(1) != 1 {
				t.Error("two inside")
			}
			runtime.Gosched()
			inside.Add(-1)
		})
	}
	all.Wait()
}

func TestSweepOldLeavesWhoIsAtWork(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	for name, age := range map[string]time.Duration{".worker.key.1": 2 * time.Hour, ".worker.key.2": time.Minute, "worker.key": 2 * time.Hour} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, Private); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(path, now, now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := SweepOld(dir, now.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 2 {
		t.Errorf("left: %v, %v; want the key, and the file that is being written", left, err)
	}
}
