package store

import (
	"io/fs"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// tendEvery is how often free disk space is looked at: a fleet of 10,000
	// hosts writes some 10 MiB in that time.
	tendEvery = 2 * time.Second
	// sweepEvery is how often disk usage is summed up and what is old is dropped.
	sweepEvery = time.Minute
)

// tendLoop watches the disk, and does what has to be done now and then. It ends with
// Close.
func (s *Store) tendLoop() {
	beat := time.NewTicker(tendEvery)
	defer beat.Stop()
	for {
		select {
		case <-s.stop:
			return
		case <-beat.C:
			s.tend()
		}
	}
}

func (s *Store) tend() {
	s.watchSpace()
	s.passIfDue()
	if now := s.now(); now.Sub(s.swept) >= sweepEvery {
		s.swept = now
		s.sweep(now)
	}
}

// watchSpace refuses new data while the disk is nearly full.
func (s *Store) watchSpace() {
	var disk unix.Statfs_t
	if err := unix.Statfs(s.config.Dir, &disk); err != nil {
		return
	}
	free := int64(disk.Bavail) * disk.Bsize
	s.figures.freeBytes.Store(free)
	enough := free >= int64(s.config.MinFree)
	if was := s.free.Swap(enough); was == enough {
		return
	}
	if enough {
		s.log.Info("there is disk space for new data again", "free_bytes", free)
	} else {
		s.log.Warn("the disk is nearly full: workers keep what they have until there is space (min_free)", "free_bytes", free)
	}
}

// sweep drops what is old, and what nobody needs.
func (s *Store) sweep(now time.Time) {
	s.figures.diskBytes.Store(usage(s.config.Dir, s.SnapshotFolder()))
	s.head.Sweep(now)
	s.ledger.Tend()
	if err := s.ledger.Sync(); err != nil {
		s.log.Warn("the ledger of gaps cannot be written; the journal still has it", "err", err)
	}
	s.rollSoon() // before anything goes
	if err := s.retain(now); err != nil {
		s.figures.passErrors.Add(1)
		s.log.Warn("old data cannot be dropped", "err", err)
	}
	if err := s.schemaLog.compact(); err != nil {
		s.log.Warn("names of series cannot be written anew", "err", err)
	}
}

// usage sums up the files below dir, but for those of a folder: most of a snapshot are
// further names of files that were counted. Files that vanish meanwhile do not count.
func usage(dir, without string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && path == without && entry.IsDir() {
			return filepath.SkipDir
		}
		if err != nil || entry.IsDir() {
			return nil
		}
		if info, err := entry.Info(); err == nil {
			bytes += info.Size()
		}
		return nil
	})
	return bytes
}
