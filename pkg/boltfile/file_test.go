package boltfile

import (
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
)

func TestWhatIsWrittenIsReadAgain(t *testing.T) {
	path := filled(t, one, 2)
	f, found, damaged, err := open(path, one)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"notes/0000": "note 0 of notes", "notes/0001": "note 1 of notes"}
	if diff := cmp.Diff(want, found); diff != "" || len(damaged) != 0 || f.Path() != path {
		t.Errorf("(-want +got):\n%s%d damaged, path %q", diff, len(damaged), f.Path())
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("mode of the folder %v, %v", info.Mode(), err)
	}
	if err := errors.Join(f.Close(), f.Close()); err != nil {
		t.Errorf("closed twice: %v", err)
	}
	if err := f.Update(func(*bbolt.Tx) error { return nil }); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("write after close: %v, want an error with the path", err)
	}
}

// A transaction that panics leaves nothing behind and the file usable.
func TestAPanicInATransactionIsAnError(t *testing.T) {
	f, _, _, err := open(filled(t, one, 1), one)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	err = f.Update(func(tx *bbolt.Tx) error {
		if err := tx.Bucket([]byte("notes")).Put([]byte("x"), nil); err != nil {
			return err
		}
		panic("page 7: invalid page type")
	})
	if !errors.Is(err, ErrDamaged) {
		t.Errorf("%v, want %v", err, ErrDamaged)
	}
	if err := f.Update(func(tx *bbolt.Tx) error {
		if tx.Bucket([]byte("notes")).Get([]byte("x")) != nil {
			t.Error("half of a transaction is there")
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestOneProcessHasTheFile(t *testing.T) {
	path := filled(t, one, 1)
	f, _, _, err := open(path, one)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, _, _, err := open(path, one); !errors.Is(err, ErrLocked) || !strings.Contains(err.Error(), path) {
		t.Errorf("opened twice: %v, want %v and the path", err, ErrLocked)
	}
}

func TestDamagedEntriesAreSetAside(t *testing.T) {
	two := Layout{Name: "papers", Version: 1, Buckets: []string{"notes", "letters"}}
	for name, test := range map[string]struct {
		layout Layout
		want   []string // keys in quarantine, behind the running numbers
	}{
		"one bucket":  {one, []string{"0001"}},
		"two buckets": {two, []string{"notes\x000001", "letters\x000001"}},
	} {
		path := filled(t, test.layout, 3)
		for _, bucket := range test.layout.Buckets {
			edit(t, path, flip(bucket, "0001"))
		}
		f, found, damaged, err := open(path, test.layout)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
		n := len(test.layout.Buckets)
		if len(found) != 2*n || len(damaged) != n || damaged[0].Bucket != "notes" || string(damaged[0].Key) != "0001" || !errors.Is(damaged[0].Err, ErrDamaged) {
			t.Errorf("%s: %d good, damaged: %+v", name, len(found), damaged)
		}
		if f, _, damaged, err = open(path, test.layout); err != nil || len(damaged) != 0 {
			t.Errorf("%s: set aside again: %v, %v", name, damaged, err)
		}
		f.Close()
		edit(t, path, func(tx *bbolt.Tx) error {
			var kept []string
			tx.Bucket([]byte(BucketQuarantine)).ForEach(func(key, value []byte) error {
				if got, want := binary.BigEndian.Uint64(key), uint64(len(kept)+1); got != want {
					t.Errorf("%s: number %d, want %d", name, got, want)
				}
				if _, err := OpenValue(value); !errors.Is(err, ErrDamaged) {
					t.Errorf("%s: not the damaged value is kept", name)
				}
				kept = append(kept, string(key[8:]))
				return nil
			})
			if diff := cmp.Diff(test.want, kept); diff != "" {
				t.Errorf("%s: in quarantine (-want +got):\n%s", name, diff)
			}
			return nil
		})
	}
}

// What is refused stays as it is.
func TestFilesThatAreRefused(t *testing.T) {
	meta := func(value []byte) func(tx *bbolt.Tx) error {
		return func(tx *bbolt.Tx) error { return tx.Bucket([]byte(BucketMeta)).Put([]byte(KeyFormat), value) }
	}
	page := os.Getpagesize()
	tests := []struct {
		name   string
		change func(tx *bbolt.Tx) error
		spoil  func(b []byte) []byte
		want   error
	}{
		{"a newer file", meta(binary.BigEndian.AppendUint64(nil, one.Version+1)), nil, ErrNewerFormat},
		{"a newer value", func(tx *bbolt.Tx) error {
			return errors.Join(flip("notes", "0000")(tx), tx.Bucket([]byte("notes")).Put([]byte("x"), []byte{ValueVersion + 1, 0, 0, 0, 0}))
		}, nil, ErrNewerFormat},
		{"a version that is none", meta([]byte("1")), nil, ErrDamaged},
		{"not a database", nil, func([]byte) []byte { return []byte(strings.Repeat("not a database\n", 3000)) }, ErrDamaged},
		{"short", nil, func(b []byte) []byte { return b[:100] }, ErrDamaged},
		{"both meta pages", nil, func(b []byte) []byte { clear(b[:2*page]); return b }, ErrDamaged},
		{"meta pages only", nil, func(b []byte) []byte { return b[:2*page] }, ErrDamaged},
		{"cut in half", nil, func(b []byte) []byte { return b[:len(b)/2] }, ErrDamaged},
		{"no pages", nil, func(b []byte) []byte { clear(b[2*page:]); return b }, ErrDamaged},
	}
	for _, test := range tests {
		path := filled(t, one, 500)
		if test.change != nil {
			edit(t, path, test.change)
		}
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if test.spoil != nil {
			before = test.spoil(before)
			if err := os.WriteFile(path, before, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, _, _, err = open(path, one)
		if !errors.Is(err, test.want) || !strings.Contains(err.Error(), path) || strings.Contains(err.Error(), one.Remedy) != (test.want == ErrDamaged) {
			t.Errorf("%s: %v, want %v, the path, and what to do about damage", test.name, err, test.want)
		}
		if after, err := os.ReadFile(path); err != nil || string(before) != string(after) {
			t.Errorf("%s: the file was changed (%v)", test.name, err)
		}
	}
}

// The owner's error about its own layout comes out as it is, and the lock is free.
func TestOpenDBWithAnotherLayout(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	refused := errors.New("not mine")
	options := bbolt.Options{Timeout: 10 * time.Millisecond}
	if _, err := OpenDB(path, 0o640, options, func(*bbolt.Tx) error { return refused }); err != refused {
		t.Errorf("%v, want %v", err, refused)
	}
	db, err := OpenDB(path, 0o640, options, func(*bbolt.Tx) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
}
