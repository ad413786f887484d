package store

import (
	"io/fs"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// tendEvery is how often free disk space is looked at: a fleet of 10,000
	// hosts writes some 100 MiB in that time.
	tendEvery = 2 * time.Second
	// sweepEvery is how often disk usage is summed up and idle state dropped.
	sweepEvery = time.Minute
	// idleAfter is how long a worker without a session keeps its state. Its
	// series have left every query by then.
	idleAfter = time.Hour
)

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

// tend watches the disk, and sweeps now and then.
func (s *Store) tend() {
	var disk unix.Statfs_t
	if err := unix.Statfs(s.config.Dir, &disk); err == nil {
		free := int64(disk.Bavail) * disk.Bsize
		s.figures.freeBytes.Store(free)
		enough := free >= int64(s.config.MinFree)
		if was := s.free.Swap(enough); was != enough {
			s.log.Warn("free disk space crossed min_free", "free_bytes", free, "accepting", enough)
		}
	}
	if now := s.now(); now.Sub(s.lastTended) >= sweepEvery {
		s.lastTended = now
		s.figures.diskBytes.Store(usage(s.config.Dir))
		s.sweep(now)
		s.catalog.tidy()
	}
}

// usage sums up the files below dir; files that vanish meanwhile do not count.
func usage(dir string) (bytes int64) {
	_ = filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
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

// sweep drops the state of workers that have been silent for long.
func (s *Store) sweep(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, w := range s.workers {
		if w.idleSince(now) >= idleAfter {
			delete(s.workers, id)
		}
	}
}
