package boltfile

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"go.etcd.io/bbolt"
)

// Names that every file has.
const (
	BucketMeta       = "meta"
	BucketQuarantine = "quarantine"
	KeyFormat        = "format" // in BucketMeta
)

// Layout says what a file consists of.
type Layout struct {
	Name    string   // of what is kept, for errors: "registry"
	Version uint64   // files of a higher one are refused
	Buckets []string // of entries. To go from one to several changes the names in the quarantine: a new Version
	Remedy  string   // what an operator can do about a file that is damaged as a whole
}

// File is an open file. Safe for concurrent use.
type File struct {
	path   string
	layout Layout
	db     *bbolt.DB
}

// Open opens or makes the file at path, and its folder, and runs read in one
// transaction with the quarantine of what read finds damaged. It waits for
// lockTimeout for another process to let go. Errors name the file and wrap
// ErrLocked, ErrDamaged or ErrNewerFormat when those are the cause; then the file
// is as it was.
func Open(path string, layout Layout, lockTimeout time.Duration, read func(*Reader) error) (f *File, damaged []Damage, err error) {
	defer func() {
		if errors.Is(err, ErrDamaged) {
			err = fmt.Errorf("%w; %s", err, layout.Remedy)
		}
		if err != nil {
			err = fmt.Errorf("open %s %q: %w", layout.Name, path, err)
		}
	}()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, nil, err
	}
	options := bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType}
	db, err := OpenDB(path, 0o600, options, func(tx *bbolt.Tx) error {
		if err := layout.prepare(tx); err != nil {
			return err
		}
		r := Reader{tx: tx}
		if err := read(&r); err != nil {
			return err
		}
		damaged = r.damaged
		return layout.setAside(tx, damaged)
	})
	if err != nil {
		return nil, nil, err
	}
	return &File{path: path, layout: layout, db: db}, damaged, nil
}

// prepare makes the buckets of a new file, and refuses a newer one.
func (l Layout) prepare(tx *bbolt.Tx) error {
	for _, name := range append([]string{BucketMeta, BucketQuarantine}, l.Buckets...) {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return err
		}
	}
	meta := tx.Bucket([]byte(BucketMeta))
	switch version := meta.Get([]byte(KeyFormat)); {
	case version == nil:
		return meta.Put([]byte(KeyFormat), binary.BigEndian.AppendUint64(nil, l.Version))
	case len(version) != 8:
		return fmt.Errorf("%w: format version of %d bytes", ErrDamaged, len(version))
	case binary.BigEndian.Uint64(version) > l.Version:
		return fmt.Errorf("%w: format %d, known is %d", ErrNewerFormat, binary.BigEndian.Uint64(version), l.Version)
	}
	return nil
}

// Path is where the file is.
func (f *File) Path() string { return f.path }

// Update makes all that change does durable, or nothing of it. Keys and values
// that it puts belong to the file until Update returns.
func (f *File) Update(change func(tx *bbolt.Tx) error) error {
	if err := guarded(func() error { return f.db.Update(change) }); err != nil {
		return fmt.Errorf("write %s %q: %w", f.layout.Name, f.path, err)
	}
	return nil
}

// Close lets go of the file. Update fails from then on. Closing again does nothing.
func (f *File) Close() error {
	if err := f.db.Close(); err != nil {
		return fmt.Errorf("close %s %q: %w", f.layout.Name, f.path, err)
	}
	return nil
}

// Damage is one entry that was set aside.
type Damage struct {
	Bucket string
	Key    []byte
	Err    error
}

// Reader reads a file while it is opened.
type Reader struct {
	tx      *bbolt.Tx
	damaged []Damage
}

// Meta returns an owner's own key of the meta bucket, nil when it is not there.
// It is valid during the reading only.
func (r *Reader) Meta(key string) []byte { return r.tx.Bucket([]byte(BucketMeta)).Get([]byte(key)) }

// Each gives take every entry of a bucket, in the order of the keys; both slices
// are valid during the call only. An entry for which take returns an error is
// damaged, and set aside, unless the error wraps ErrNewerFormat: it ends the
// reading, and the file is refused.
func (r *Reader) Each(bucket string, take func(key, value []byte) error) error {
	return r.tx.Bucket([]byte(bucket)).ForEach(func(key, value []byte) error {
		err := take(key, value)
		if errors.Is(err, ErrNewerFormat) {
			return fmt.Errorf("%s %x: %w", bucket, key, err)
		}
		if err != nil {
			r.damaged = append(r.damaged, Damage{Bucket: bucket, Key: slices.Clone(key), Err: err})
		}
		return nil
	})
}

// setAside moves damaged entries to the quarantine.
func (l Layout) setAside(tx *bbolt.Tx, damaged []Damage) error {
	quarantine := tx.Bucket([]byte(BucketQuarantine))
	for _, bad := range damaged {
		n, err := quarantine.NextSequence()
		if err != nil {
			return err
		}
		name := binary.BigEndian.AppendUint64(nil, n)
		if len(l.Buckets) > 1 {
			name = append(append(name, bad.Bucket...), 0)
		}
		from := tx.Bucket([]byte(bad.Bucket))
		err = quarantine.Put(append(name, bad.Key...), slices.Clone(from.Get(bad.Key)))
		if err := errors.Join(err, from.Delete(bad.Key)); err != nil {
			return err
		}
	}
	return nil
}
