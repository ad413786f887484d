package registry

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// FileName is the registry's file in the state folder of the coordinator.
const FileName = "registry.db"

// ErrLocked says that another process has the file open.
var ErrLocked = errors.New("in use by another process (is a coordinator already running?)")

// Names of the buckets and keys in the file; see docs/formats/registry.md.
const (
	bucketMeta       = "meta"
	bucketWorkers    = "workers"
	bucketQuarantine = "quarantine"
	keyFormat        = "format" // 8 bytes big endian: formatVersion
	keyFeed          = "feed"   // 8 bytes big endian: at least the newest version of the feed

	formatVersion = 1
)

// disk is the file. Safe for concurrent use, as bbolt is.
type disk struct {
	path string
	db   *bbolt.DB
}

// damage is one entry that was set aside.
type damage struct {
	key []byte
	err error
}

// loaded is what the file holds.
type loaded struct {
	workers []Worker
	feed    uint64
	damaged []damage
}

// openDisk opens or makes the file in dir and reads all of it. A file that is
// damaged as a whole is left as it is, with ErrDamaged; a single damaged entry
// is moved to the quarantine bucket.
func openDisk(dir string, lockTimeout time.Duration) (d *disk, l loaded, err error) {
	path := filepath.Join(dir, FileName)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, loaded{}, fmt.Errorf("open registry: %w", err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("open registry %q: %w", path, err)
		}
	}()
	err = guarded(func() (err error) {
		d, l, err = openFile(path, lockTimeout)
		return err
	})
	switch {
	case err == nil:
		return d, l, syncDir(dir)
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, loaded{}, ErrLocked
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		err = fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if errors.Is(err, ErrDamaged) {
		err = fmt.Errorf("%w; move the file aside to start with an empty registry: workers register again by themselves", err)
	}
	return nil, loaded{}, err
}

// guarded turns the panics with which bbolt meets a damaged page, and the fault
// of reading past the end of a truncated file, into ErrDamaged.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("%w: %v", ErrDamaged, cause)
		}
	}()
	return f()
}

func openFile(path string, lockTimeout time.Duration) (*disk, loaded, error) {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: lockTimeout, FreelistType: bbolt.FreelistMapType})
	if err != nil {
		return nil, loaded{}, err
	}
	var l loaded
	opened := false
	defer func() { // on panics too, or the lock would stay
		if !opened {
			db.Close()
		}
	}()
	if err := db.View(func(tx *bbolt.Tx) error { return checkSize(tx, path) }); err != nil {
		return nil, loaded{}, err
	}
	if err := db.Update(func(tx *bbolt.Tx) error {
		if err := checkFormat(tx); err != nil {
			return err
		}
		return load(tx, &l)
	}); err != nil {
		return nil, loaded{}, err
	}
	opened = true
	return &disk{path: path, db: db}, l, nil
}

func checkSize(tx *bbolt.Tx, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if info.Size() < tx.Size() {
		return fmt.Errorf("%w: %d bytes long, want %d", ErrDamaged, info.Size(), tx.Size())
	}
	return nil
}

// checkFormat refuses newer files and prepares a new one.
func checkFormat(tx *bbolt.Tx) error {
	for _, name := range []string{bucketMeta, bucketWorkers, bucketQuarantine} {
		if _, err := tx.CreateBucketIfNotExists([]byte(name)); err != nil {
			return err
		}
	}
	meta := tx.Bucket([]byte(bucketMeta))
	switch version := meta.Get([]byte(keyFormat)); {
	case version == nil:
		return meta.Put([]byte(keyFormat), binary.BigEndian.AppendUint64(nil, formatVersion))
	case len(version) != 8:
		return fmt.Errorf("%w: format version of %d bytes", ErrDamaged, len(version))
	case binary.BigEndian.Uint64(version) > formatVersion:
		return fmt.Errorf("%w: format %d, known is %d", ErrNewerFormat, binary.BigEndian.Uint64(version), formatVersion)
	}
	return nil
}

// load reads everything and moves damaged entries to the quarantine.
func load(tx *bbolt.Tx, l *loaded) error {
	*l = loaded{}
	if feed := tx.Bucket([]byte(bucketMeta)).Get([]byte(keyFeed)); len(feed) == 8 {
		l.feed = binary.BigEndian.Uint64(feed)
	}
	workers, quarantine := tx.Bucket([]byte(bucketWorkers)), tx.Bucket([]byte(bucketQuarantine))
	err := workers.ForEach(func(key, value []byte) error {
		w, err := parseWorker(value)
		if err == nil && (len(key) != len(w.ID) || model.WorkerID(key) != w.ID) {
			err = fmt.Errorf("%w: holds worker %v", ErrDamaged, w.ID)
		}
		switch {
		case err == nil:
			l.workers = append(l.workers, w)
		case errors.Is(err, ErrNewerFormat):
			return fmt.Errorf("worker %x: %w", key, err)
		default:
			l.damaged = append(l.damaged, damage{key: bytes.Clone(key), err: err})
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, bad := range l.damaged {
		n, err := quarantine.NextSequence()
		if err != nil {
			return err
		}
		name := append(binary.BigEndian.AppendUint64(nil, n), bad.key...)
		if err := errors.Join(quarantine.Put(name, bytes.Clone(workers.Get(bad.key))), workers.Delete(bad.key)); err != nil {
			return err
		}
	}
	return nil
}

// changes are what one transaction writes: removals first, so that an id which
// came back is there afterwards.
type changes struct {
	put    []Worker
	remove []model.WorkerID
	feed   uint64
}

// write makes the changes durable: all or none of them.
func (d *disk) write(c changes) error {
	err := d.db.Update(func(tx *bbolt.Tx) error {
		workers := tx.Bucket([]byte(bucketWorkers))
		for i := range c.remove {
			if err := workers.Delete(c.remove[i][:]); err != nil {
				return err
			}
		}
		for i := range c.put {
			value, err := appendWorker(nil, &c.put[i]) // bbolt keeps the slice until the commit
			if err != nil {
				return err
			}
			if err := workers.Put(c.put[i].ID[:], value); err != nil {
				return err
			}
		}
		return tx.Bucket([]byte(bucketMeta)).Put([]byte(keyFeed), binary.BigEndian.AppendUint64(nil, c.feed))
	})
	if err != nil {
		return fmt.Errorf("write registry %q: %w", d.path, err)
	}
	return nil
}

func (d *disk) close() error {
	if err := d.db.Close(); err != nil {
		return fmt.Errorf("close registry %q: %w", d.path, err)
	}
	return nil
}

// syncDir makes a newly created file's name durable.
func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
