package volume

import (
	"errors"
	"slices"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Retention bounds a Set.
type Retention struct {
	// Age is, for each tier, for how long volumes are kept behind their last
	// row. 0: for ever.
	Age [Tiers]time.Duration
	// Bytes is how much all volumes together may take. 0: any. When they take more, the
	// oldest volume of the tier that takes most goes: so sums, which are small and
	// reach far back, outlive the rows that they were made of. The newest volume
	// of a tier stays.
	Bytes model.Bytes
}

// Remove takes a volume out of the set and unlinks its file. Views that hold it go on. It
// does nothing if the volume is not in the set.
func (s *Set) Remove(file *File) error {
	removed, err := s.unlink(file)
	if !removed {
		return err
	}
	return errors.Join(err, s.syncFolder())
}

// unlink is Remove without making it last.
func (s *Set) unlink(file *File) (removed bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.Index(s.files, file)
	if i < 0 {
		return false, nil
	}
	// Without its file the volume would come back at the next start, so it stays.
	if err := s.deps.FS.Remove(file.path); err != nil {
		return false, diskError("remove volume", file.path, err)
	}
	s.files = slices.Delete(s.files, i, i+1)
	s.gone = append(slices.DeleteFunc(s.gone, (*File).unmapped), file)
	file.Release()
	return true, nil
}

// unmapped says that nobody holds the file.
func (f *File) unmapped() bool { return f.users.Load() <= 0 }

func (s *Set) syncFolder() error {
	if err := s.deps.FS.SyncFolder(s.dir); err != nil {
		return diskError("sync folder", s.dir, err)
	}
	return nil
}

// Retain removes the volumes that are beyond the bounds, oldest first, and says which
// those were. After an error the rest is there.
func (s *Set) Retain(now time.Time, r Retention) (removed []Info, err error) {
	defer func() {
		if len(removed) > 0 {
			err = errors.Join(err, s.syncFolder())
		}
	}()
	for {
		file := s.beyond(model.Millis(now.UnixMilli()), r)
		if file == nil {
			return removed, nil
		}
		gone, err := s.unlink(file)
		if err != nil {
			return removed, err
		}
		if gone {
			removed = append(removed, file.info)
		}
	}
}

// beyond returns the volume that is to go next, or nil.
func (s *Set) beyond(now model.Millis, r Retention) *File {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var oldest [Tiers]*File
	var bytes [Tiers]int64
	var count [Tiers]int
	var total int64
	for _, f := range s.files {
		t := f.info.Tier
		if oldest[t] == nil || f.info.Last < oldest[t].info.Last {
			oldest[t] = f
		}
		bytes[t] += f.info.Bytes
		count[t]++
		total += f.info.Bytes
	}
	largest := -1
	for t, f := range oldest {
		if f == nil {
			continue
		}
		if age := r.Age[t]; age > 0 && f.info.Last < now-model.Millis(age.Milliseconds()) {
			return f
		}
		if count[t] > 1 && (largest < 0 || bytes[t] > bytes[largest]) {
			largest = t
		}
	}
	if r.Bytes > 0 && total > int64(r.Bytes) && largest >= 0 {
		return oldest[largest]
	}
	return nil
}
