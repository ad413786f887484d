package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// syncer makes one of the database's logs durable. The database writes a record
// to its segment file before a commit returns, but leaves the fsync to the
// kernel; so the files are synced here, by their names. Not safe for
// concurrent use.
type syncer struct {
	dir    string
	synced int // newest segment that was synced; -1 before the first
	// syncFile is syncPath; tests note what it did.
	syncFile func(path string) error
}

func newSyncer(dir string) *syncer { return &syncer{dir: dir, synced: -1, syncFile: syncPath} }

// sync returns when everything that was written before the call is on disk.
// The segment that was newest the last time may have grown since, so it is
// synced with all newer ones. Older ones did not change. A segment that is gone
// was removed by the database after its content had been made durable
// elsewhere, in a checkpoint or a block.
func (s *syncer) sync() error {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the log does not exist before its first record
	}
	if err != nil {
		return fmt.Errorf("sync log: %w", err)
	}
	newest := s.synced
	for _, e := range entries {
		segment, err := strconv.Atoi(e.Name())
		if err != nil || segment < s.synced {
			continue // a checkpoint, or synced for the last time
		}
		newest = max(newest, segment)
		path := filepath.Join(s.dir, e.Name())
		if err := s.syncFile(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if newest != s.synced {
		if err := s.syncFile(s.dir); err != nil {
			return err
		}
	}
	s.synced = newest
	return nil
}

// syncPath syncs a file or directory.
func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.Fdatasync(int(f.Fd())); err != nil {
		return fmt.Errorf("sync %q: %w", path, err)
	}
	return nil
}
