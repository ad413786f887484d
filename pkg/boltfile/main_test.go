package boltfile

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"
)

var one = Layout{Name: "notes", Version: 3, Buckets: []string{"notes"}, Remedy: "write them anew"}

// contents reads all of a file whose values are text.
func contents(buckets []string, into map[string]string) func(r *Reader) error {
	return func(r *Reader) error {
		for _, bucket := range buckets {
			err := r.Each(bucket, func(key, value []byte) error {
				content, err := OpenValue(value)
				if err == nil {
					into[fmt.Sprintf("%s/%s", bucket, key)] = string(content)
				}
				return err
			})
			if err != nil {
				return err
			}
		}
		return nil
	}
}

// open opens the file at path, and returns what is in it.
func open(path string, layout Layout) (*File, map[string]string, []Damage, error) {
	found := make(map[string]string)
	f, damaged, err := Open(path, layout, 10*time.Millisecond, contents(layout.Buckets, found))
	return f, found, damaged, err
}

// filled makes a file with n values in every bucket.
func filled(t *testing.T, layout Layout, n int) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "folder", "notes.db")
	f, _, _, err := open(path, layout)
	if err != nil {
		t.Fatal(err)
	}
	err = f.Update(func(tx *bbolt.Tx) error {
		for _, bucket := range layout.Buckets {
			for i := range n {
				if err := tx.Bucket([]byte(bucket)).Put(fmt.Appendf(nil, "%04d", i), AppendValue(nil, fmt.Appendf(nil, "note %d of %s", i, bucket))); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// edit changes a file that is closed.
func edit(t *testing.T, path string, change func(tx *bbolt.Tx) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(change), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// flip turns one bit of a value's content.
func flip(bucket, key string) func(tx *bbolt.Tx) error {
	return func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(bucket))
		value := bytes.Clone(b.Get([]byte(key)))
		value[len(value)-1] ^= 1
		return b.Put([]byte(key), value)
	}
}
