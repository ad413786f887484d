package boltfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// What is wrong with a file that is refused.
var (
	// ErrLocked says that another process has the file open.
	ErrLocked = errors.New("in use by another process (is the daemon already running?)")
	// ErrNewerFormat says that a newer release wrote the file: it is refused, not
	// guessed at.
	ErrNewerFormat = errors.New("written by a newer release")
	// ErrDamaged says that bytes on disk are not what was written.
	ErrDamaged = errors.New("damaged")
)

// OpenDB opens or makes the bbolt file at path, in a folder that is there, and
// runs prepare in a first transaction. It is the lower half of Open, for a file
// that has a layout of its own. Unless prepare succeeds, nothing is written to a
// file that was there, and it is closed again. Its name is on disk afterwards.
// Errors wrap ErrLocked, when options.Timeout has passed, or ErrDamaged when
// those are the cause; they do not name the file.
func OpenDB(path string, mode fs.FileMode, options bbolt.Options, prepare func(tx *bbolt.Tx) error) (db *bbolt.DB, err error) {
	err = guarded(func() (err error) {
		if db, err = bbolt.Open(path, mode, &options); err != nil {
			return err
		}
		opened := false
		defer func() { // on panics too, or the lock would stay
			if !opened {
				db.Close()
			}
		}()
		if err := db.View(func(tx *bbolt.Tx) error { return checkSize(tx, path) }); err != nil {
			return err
		}
		if err := db.Update(prepare); err != nil {
			return err
		}
		if err := syncFolder(filepath.Dir(path)); err != nil {
			return err
		}
		opened = true
		return nil
	})
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, bolterrors.ErrTimeout):
		return nil, ErrLocked
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrChecksum), errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	return nil, err
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

// syncFolder makes a newly created file's name durable.
func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}
