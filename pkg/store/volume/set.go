package volume

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
)

// Set is a folder of volumes. All methods may be called at any time by any goroutine.
type Set struct {
	dir  string
	deps Deps
	lock io.Closer

	damages atomic.Uint64 // found since Open
	aside   int           // files that Open has set aside

	mu     sync.RWMutex
	files  []*File // by number
	gone   []*File // removed, perhaps still held
	next   uint64
	closed bool
}

// Open opens all volumes of a folder, which is made if it is missing, and locks it.
// Volumes that were not finished are removed. A volume of which something is damaged
// stays in use for the rest; one of which nothing can be read is renamed to
// *.damaged. Both is reported, with the path.
//
// It fails, and leaves everything as it is, with durable.ErrLocked, with ErrNewerFormat,
// and with what the file system says.
func Open(dir string, deps Deps) (*Set, []*Damage, error) {
	s := &Set{dir: dir, deps: deps.withDefaults(), next: 1}
	report := s.deps.OnDamage
	s.deps.OnDamage = func(d *Damage) {
		s.damages.Add(1)
		report(d)
	}
	fs := s.deps.FS
	if err := fs.MakeFolder(dir); err != nil {
		return nil, nil, diskError("make folder", dir, err)
	}
	lock, err := fs.Lock(dir)
	if err != nil {
		return nil, nil, fmt.Errorf("volumes %q: %w", dir, err)
	}
	s.lock = lock
	damages, err := s.open()
	if err != nil {
		return nil, nil, errors.Join(err, s.Close())
	}
	s.damages.Add(uint64(len(damages)))
	return s, damages, nil
}

// open opens the files, and tidies up when all that can be opened is open.
func (s *Set) open() (damages []*Damage, err error) {
	list, err := s.deps.FS.List(s.dir)
	if err != nil {
		return nil, diskError("list", s.dir, err)
	}
	var unfinished, hopeless []string
	for _, info := range list {
		number, tier, rest, ok := parseName(info.Name)
		if !ok {
			continue
		}
		s.next = max(s.next, number+1)
		switch rest {
		case newSuffix:
			unfinished = append(unfinished, info.Name)
		case "":
			file, found, err := openFile(s.dir, number, tier, s.deps)
			if err != nil {
				return nil, err
			}
			damages = append(damages, found...)
			if file == nil {
				hopeless = append(hopeless, info.Name)
				continue
			}
			s.files = append(s.files, file)
		}
	}
	slices.SortFunc(s.files, func(a, b *File) int { return a.order(b) })
	if err := s.tidy(unfinished, hopeless, damages); err != nil {
		return nil, err
	}
	return damages, nil
}

// tidy removes what was not finished and renames what cannot be read.
func (s *Set) tidy(unfinished, hopeless []string, damages []*Damage) error {
	fs := s.deps.FS
	for _, name := range unfinished {
		path := filepath.Join(s.dir, name)
		if err := fs.Remove(path); err != nil {
			return diskError("remove unfinished volume", path, err)
		}
	}
	for _, name := range hopeless {
		path := filepath.Join(s.dir, name)
		aside := path + damagedSuffix
		if err := fs.Rename(path, aside); err != nil {
			return diskError("set aside", path, err)
		}
		s.aside++
		for _, d := range damages {
			if d.File == path {
				d.Aside = aside
			}
		}
	}
	if len(unfinished)+len(hopeless) == 0 {
		return nil
	}
	if err := fs.SyncFolder(s.dir); err != nil {
		return diskError("sync folder", s.dir, err)
	}
	return nil
}

// order is that of numbers.
func (f *File) order(other *File) int {
	return cmp.Or(cmp.Compare(f.info.Number, other.info.Number), cmp.Compare(f.info.Tier, other.info.Tier))
}

// Create begins a volume with the next number, which is not given out again.
func (s *Set) Create(tier Tier) (*Writer, error) {
	s.mu.Lock()
	number, closed := s.next, s.closed
	s.next++
	s.mu.Unlock()
	if closed {
		return nil, fmt.Errorf("volumes %q: %w", s.dir, ErrClosed)
	}
	return Create(s.dir, number, tier, s.deps)
}

// NextNumber is what the next volume will be called.
func (s *Set) NextNumber() uint64 {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.next
}

// Reserve makes all numbers up to and including number count as given out: a journal
// may have named volumes that never came to be, or are gone.
func (s *Set) Reserve(number uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = max(s.next, number+1)
}

// Add puts a volume that Commit has returned into the set, which lets it go in its
// time. Views that are made afterwards have it. When the set is closed, the file is
// released at once.
func (s *Set) Add(file *File) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		file.Release()
		return
	}
	i, _ := slices.BinarySearchFunc(s.files, file, func(a, b *File) int { return a.order(b) })
	s.files = slices.Insert(s.files, i, file)
	s.next = max(s.next, file.info.Number+1)
}

// Has says whether a volume of that number is in the set, of whatever tier.
func (s *Set) Has(number uint64) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	_, has := slices.BinarySearchFunc(s.files, number, func(f *File, number uint64) int { return cmp.Compare(f.info.Number, number) })
	return has
}

// Close lets all volumes go, and the folder. Files that are still in Views stay
// mapped until those are released.
func (s *Set) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	for _, f := range s.files {
		f.Release()
	}
	s.files = nil
	if err := s.lock.Close(); err != nil {
		return diskError("unlock", s.dir, err)
	}
	return nil
}
