package registry

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// filled is a folder with a registry of n members.
func filled(t *testing.T, n int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	r := open(t, dir, DefaultConfig())
	for i := range n {
		r.ProbeAck(ProbeAck{ID: testID(i), Host: hostNamed("web", "10.0.0.1")})
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func open(t *testing.T, dir string, cfg Config) *Registry {
	t.Helper()
	r, err := Open(dir, cfg, Deps{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// edit changes the file behind the registry's back.
func edit(t *testing.T, dir string, change func(tx *bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(dir, FileName), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Update(change); err != nil {
		t.Fatal(err)
	}
}

func TestDamagedEntryIsSetAside(t *testing.T) {
	dir := filled(t, 5)
	bad := testID(2)
	var before []byte
	edit(t, dir, func(tx *bbolt.Tx) error {
		workers := tx.Bucket([]byte(bucketWorkers))
		before = append(before, workers.Get(bad[:])...)
		before[20] ^= 1
		other := testID(3)
		return errors.Join(
			workers.Put(bad[:], before),
			workers.Put([]byte("short key"), workers.Get(other[:])), // a good value under a wrong key
		)
	})
	r := open(t, dir, DefaultConfig())
	if got := len(r.Workers()); got != 4 {
		t.Errorf("%d workers left, want 4", got)
	}
	if got := r.Stats().Quarantined; got != 2 {
		t.Errorf("%d entries reported, want 2", got)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	edit(t, dir, func(tx *bbolt.Tx) error {
		kept := map[string]string{}
		tx.Bucket([]byte(bucketQuarantine)).ForEach(func(k, v []byte) error {
			kept[string(k[8:])] = string(v)
			return nil
		})
		if len(kept) != 2 || kept[string(bad[:])] != string(before) {
			t.Errorf("quarantine holds %q", kept)
		}
		if tx.Bucket([]byte(bucketWorkers)).Get(bad[:]) != nil {
			t.Error("the damaged entry is still in place")
		}
		return nil
	})
	// The worker comes back under its old name, and is reported no more.
	r = open(t, dir, DefaultConfig())
	reply := r.ProbeAck(ProbeAck{ID: bad, Host: hostNamed("web", "10.0.0.1")})
	if !reply.OK || reply.Instance != "web-3" || r.Stats().Quarantined != 0 {
		t.Errorf("reply %+v, %d damaged entries", reply, r.Stats().Quarantined)
	}
}

func TestNewerFileIsRefused(t *testing.T) {
	dir := filled(t, 1)
	edit(t, dir, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketMeta)).Put([]byte(keyFormat), binary.BigEndian.AppendUint64(nil, formatVersion+1))
	})
	if _, err := Open(dir, DefaultConfig(), Deps{}); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("newer file: %v, want %v", err, ErrNewerFormat)
	}

	dir, id := filled(t, 1), testID(0)
	edit(t, dir, func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte(bucketWorkers)).Put(id[:], []byte{valueVersion + 1, 0, 0, 0, 0})
	})
	for range 2 { // the first refusal must not have changed anything
		if _, err := Open(dir, DefaultConfig(), Deps{}); !errors.Is(err, ErrNewerFormat) {
			t.Errorf("newer entry: %v, want %v", err, ErrNewerFormat)
		}
	}
}

func TestLockedFile(t *testing.T) {
	dir := filled(t, 1)
	open(t, dir, DefaultConfig())
	cfg := DefaultConfig()
	cfg.LockTimeout = 10 * time.Millisecond
	_, err := Open(dir, cfg, Deps{})
	if !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), dir) {
		t.Errorf("second registry: %v, want %v and the path", err, ErrLocked)
	}
}

// A file that is damaged as a whole is refused, and left alone.
func TestDamagedFile(t *testing.T) {
	tests := []struct {
		name  string
		spoil func(b []byte) []byte
	}{
		{"not a database", func([]byte) []byte { return []byte(strings.Repeat("not a database\n", 3000)) }},
		{"short", func(b []byte) []byte { return b[:100] }},
		{"meta pages only", func(b []byte) []byte { return b[:2*os.Getpagesize()] }},
		{"cut in half", func(b []byte) []byte { return b[:len(b)/2] }},
		{"zero pages", func(b []byte) []byte { clear(b[2*os.Getpagesize():]); return b }},
		{"0xff pages", func(b []byte) []byte {
			for i := 2 * os.Getpagesize(); i < len(b); i++ {
				b[i] = 0xff
			}
			return b
		}},
		{"both meta pages", func(b []byte) []byte { clear(b[:2*os.Getpagesize()]); return b }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := filled(t, 200)
			path := filepath.Join(dir, FileName)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			b = test.spoil(b)
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			_, err = Open(dir, DefaultConfig(), Deps{})
			if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), path) {
				t.Fatalf("%v, want %v and the path", err, ErrDamaged)
			}
			if left, err := os.ReadFile(path); err != nil || string(left) != string(b) {
				t.Errorf("the damaged file was changed (%v)", err)
			}
		})
	}
}

// Two entries with one name can only come from a meddled file. Both load.
func TestNameGivenTwice(t *testing.T) {
	dir := filled(t, 2)
	edit(t, dir, func(tx *bbolt.Tx) error {
		workers, id := tx.Bucket([]byte(bucketWorkers)), testID(1)
		w, err := parseWorker(workers.Get(id[:]))
		if err != nil {
			return err
		}
		w.Instance = "web"
		value, err := appendWorker(nil, &w)
		return errors.Join(err, workers.Put(id[:], value))
	})
	r := open(t, dir, DefaultConfig())
	got := map[string]bool{}
	for _, w := range r.Workers() {
		got[w.Instance] = true
	}
	if len(got) != 2 || !got["web"] || !got["web-2"] {
		t.Errorf("instances %v, want web and web-2", got)
	}
}

// What could not be written is written later, and nothing is lost meanwhile.
func TestFailedWriteIsRepeated(t *testing.T) {
	dir := filled(t, 3)
	r := open(t, dir, DefaultConfig())
	r.Forget(testID(0))
	r.ProbeAck(ProbeAck{ID: testID(8), Host: hostNamed("new", "10.0.0.1")})
	r.ProbeAck(ProbeAck{ID: testID(9), Host: hostNamed("new", "10.0.0.1"), Verdict: Hold})
	working := r.disk
	closed, _, err := openDisk(t.TempDir(), time.Second)
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	r.disk = closed
	if err := r.save(true); err == nil {
		t.Fatal("writing to a closed file succeeded")
	}
	if s := r.Stats(); s.WriteErrors != 1 || s.Writes != 0 || s.Unsaved != 3 {
		t.Errorf("%d errors, %d writes, %d unsaved; want 1, 0, 3", s.WriteErrors, s.Writes, s.Unsaved)
	}
	r.Forget(testID(8)) // was to be written
	r.disk = working
	if err := r.save(true); err != nil {
		t.Fatal(err)
	}
	if s := r.Stats(); s.Unsaved != 0 {
		t.Errorf("%d unsaved", s.Unsaved)
	}
	r.Close()
	r = open(t, dir, DefaultConfig())
	if got := len(r.Workers()); got != 2 {
		t.Errorf("%d members after all, want 2", got)
	}
	if w, ok := r.Worker(testID(9)); !ok || w.State != model.Pending {
		t.Errorf("pending worker: %v %v", w.State, ok)
	}
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(from, FileName))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, FileName), b, 0o600); err != nil {
		t.Fatal(err)
	}
}
