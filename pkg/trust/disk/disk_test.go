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
