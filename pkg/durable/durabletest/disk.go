// Package durabletest has a file system in memory whose power can be cut and that
// can be made to fail, for tests of what must outlive that.
//
// It keeps what was written and what was synced apart. Cut returns the disk as it
// may be found when the power is back: of what was not synced, writes may be lost,
// be there in part, torn at any byte, or be there while earlier ones are not;
// names may be new, old or both missing. A seed chooses. It is as hostile as POSIX
// allows, and more than most file systems are: syncing a file does not make its
// name last, and a failed sync forgets what it should have written (the next one
// succeeds without it).
package durabletest

import (
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
)

// Disk is a file system. All methods may be called at once.
type Disk struct {
	mu      sync.Mutex
	random  *rand.Rand
	now     func() time.Time
	files   map[string]*inode // as programs see it
	lasting map[string]*inode // as synced
	pending []nameChange      // since the folder was synced
	locks   map[string]bool
	off     bool // the power was cut
	faults  Faults
	limit   int64 // bytes that fit, all files together
	during  func(name string)
}

// Faults are chances, 0 to 1, that an operation fails with EIO.
type Faults struct {
	Write float64 // part of it may be written
	Sync  float64 // part of what it should write may be, and the rest is forgotten
	Name  float64 // Create, Rename, Remove; half of them have happened all the same
	// SyncFolder leaves the changes of names pending.
	SyncFolder float64
	Truncate   float64
}

// nameChange is a name that got or lost its file: from is free afterwards, to has
// the file. Either may be "".
type nameChange struct {
	from, to string
	file     *inode
	folder   bool // from and to are folders: all files in them
}

// inode is a file, under whatever names.
type inode struct {
	data     []byte // as programs see it
	synced   []byte // as it is on disk for certain
	changes  []change
	modified time.Time
}

// change is a write, or with nil data a change of the size to off.
type change struct {
	off  int64
	data []byte
}

// New returns an empty disk without faults or limit.
func New(seed uint64) *Disk {
	return &Disk{
		random:  rand.New(rand.NewPCG(seed, 1)),
		now:     time.Now,
		files:   map[string]*inode{},
		lasting: map[string]*inode{},
		locks:   map[string]bool{},
		limit:   1 << 62,
	}
}

// SetFaults makes operations fail from now on.
func (d *Disk) SetFaults(f Faults) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = f
}

// SetRoom makes the disk full when so many more bytes are written.
func (d *Disk) SetRoom(bytes int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.limit = d.usedLocked() + bytes
}

// During makes every Sync of a file call f first, as if it took a while and others
// went on meanwhile; nil ends that.
func (d *Disk) During(f func(name string)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.during = f
}

// SetClock sets what modification times come from.
func (d *Disk) SetClock(now func() time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.now = now
}

func (d *Disk) usedLocked() (sum int64) {
	for _, file := range d.files {
		sum += int64(len(file.data))
	}
	return sum
}

// Content returns a file as programs see it.
func (d *Disk) Content(name string) ([]byte, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	file, ok := d.files[name]
	if !ok {
		return nil, false
	}
	return slices.Clone(file.data), true
}

// SetContent makes a file and its name, or changes them, for good.
func (d *Disk) SetContent(name string, data []byte) {
	d.mu.Lock()
	defer d.mu.Unlock()
	file := &inode{data: slices.Clone(data), synced: slices.Clone(data), modified: d.now()}
	d.files[name], d.lasting[name] = file, file
}

// Names returns the paths of all files, sorted.
func (d *Disk) Names() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	var names []string
	for name := range d.files {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// failsLocked throws the dice.
func (d *Disk) failsLocked(chance float64) bool { return chance > 0 && d.random.Float64() < chance }

func failure(op, name string, err error) error { return &fs.PathError{Op: op, Path: name, Err: err} }

// MakeFolder does nothing: there are no folders but in names.
func (d *Disk) MakeFolder(string) error { return nil }

// Lock locks a folder.
func (d *Disk) Lock(dir string) (io.Closer, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.locks[dir] {
		return nil, durable.ErrLocked
	}
	d.locks[dir] = true
	return unlock{d, dir}, nil
}

type unlock struct {
	disk *Disk
	dir  string
}

func (u unlock) Close() error {
	u.disk.mu.Lock()
	defer u.disk.mu.Unlock()
	delete(u.disk.locks, u.dir)
	return nil
}

// List lists a folder.
func (d *Disk) List(dir string) (files []durable.FileInfo, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, file := range d.files {
		if filepath.Dir(name) == filepath.Clean(dir) {
			files = append(files, durable.FileInfo{Name: filepath.Base(name), Size: int64(len(file.data)), Modified: file.modified})
		}
	}
	return files, nil
}

// Create makes a file.
func (d *Disk) Create(name string) (durable.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if _, ok := d.files[name]; ok {
		return nil, failure("create", name, fs.ErrExist)
	}
	file := &inode{modified: d.now()}
	if err := d.changeNameLocked("create", nameChange{to: name, file: file}); err != nil {
		return nil, err
	}
	return &handle{disk: d, name: name, file: file}, nil
}

// Open opens a file.
func (d *Disk) Open(name string) (durable.File, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	file, ok := d.files[name]
	if !ok {
		return nil, failure("open", name, fs.ErrNotExist)
	}
	return &handle{disk: d, name: name, file: file}, nil
}

// Rename renames a file, over another one if that has the name, or a folder with all
// that is in it, at once.
func (d *Disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	file, ok := d.files[from]
	if !ok && d.hasFolderLocked(from) {
		if d.hasFolderLocked(to) {
			return failure("rename", to, syscall.ENOTEMPTY)
		}
		return d.changeNameLocked("rename", nameChange{from: from, to: to, folder: true})
	}
	if !ok {
		return failure("rename", from, fs.ErrNotExist)
	}
	return d.changeNameLocked("rename", nameChange{from: from, to: to, file: file})
}

// hasFolderLocked says whether there is a file in the folder, or in one below.
func (d *Disk) hasFolderLocked(dir string) bool {
	for name := range d.files {
		if strings.HasPrefix(name, dir+"/") {
			return true
		}
	}
	return false
}

// Link gives a file a second name.
func (d *Disk) Link(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	file, ok := d.files[from]
	if !ok {
		return failure("link", from, fs.ErrNotExist)
	}
	if _, ok := d.files[to]; ok {
		return failure("link", to, fs.ErrExist)
	}
	return d.changeNameLocked("link", nameChange{to: to, file: file})
}

// Remove removes a name.
func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	file, ok := d.files[name]
	if !ok {
		return failure("remove", name, fs.ErrNotExist)
	}
	return d.changeNameLocked("remove", nameChange{from: name, file: file})
}

func (d *Disk) changeNameLocked(op string, c nameChange) error {
	name := c.to + c.from
	if d.off {
		return failure(op, name, syscall.EIO)
	}
	fails := d.failsLocked(d.faults.Name)
	if fails && d.random.IntN(2) == 0 {
		return failure(op, name, syscall.EIO)
	}
	c.apply(d.files)
	d.pending = append(d.pending, c)
	if fails {
		return failure(op, name, syscall.EIO)
	}
	return nil
}

func (c nameChange) apply(names map[string]*inode) {
	if c.folder {
		for name, file := range maps.Clone(names) {
			if rest, in := strings.CutPrefix(name, c.from+"/"); in {
				delete(names, name)
				names[c.to+"/"+rest] = file
			}
		}
		return
	}
	if c.from != "" && (names[c.from] == c.file || names[c.from] == nil) {
		delete(names, c.from)
	}
	if c.to != "" {
		names[c.to] = c.file
	}
}

// SyncFolder makes all names last.
func (d *Disk) SyncFolder(dir string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off || d.failsLocked(d.faults.SyncFolder) {
		return failure("sync", dir, syscall.EIO)
	}
	for _, c := range d.pending {
		c.apply(d.lasting)
	}
	d.pending = nil
	return nil
}

var _ durable.FS = (*Disk)(nil)
