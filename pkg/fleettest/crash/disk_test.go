package crash

import (
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// machine is a host with its disk, which outlives processes.
type machine struct {
	name    string
	disk    *durabletest.Disk
	now     func() time.Time
	started time.Time
	// troubled is when the disk was last known to be full or to fail; zero: never.
	troubled time.Time
	trouble  bool
}

func newMachine(name string, seed uint64, now func() time.Time) *machine {
	m := &machine{name: name, disk: durabletest.New(seed), now: now, started: now().Add(-time.Hour)}
	m.disk.SetClock(now)
	return m
}

// cutPower leaves of the disk what is there after a power cut.
func (m *machine) cutPower(seed uint64) {
	m.disk = m.disk.Cut(seed)
	m.disk.SetClock(m.now)
	m.started = m.now()
	m.heal()
}

// fail makes the disk fail now and then, or full.
func (m *machine) fail(f durabletest.Faults) {
	m.disk.SetFaults(f)
	m.trouble, m.troubled = true, time.Now()
}

func (m *machine) full(room int64) {
	m.disk.SetRoom(room)
	m.trouble, m.troubled = true, time.Now()
}

func (m *machine) heal() {
	if m.trouble {
		m.troubled = time.Now()
	}
	m.trouble = false
	m.disk.SetFaults(durabletest.Faults{})
	m.disk.SetRoom(1 << 40)
}

// process is how a process sees the disk of its machine. Once it is dead nothing that it
// does reaches the disk any more.
type process struct {
	*machine
	disk   *durabletest.Disk
	dead   atomic.Bool
	left   atomic.Int64 // how many operations until it is killed; below 0: not
	lag    atomic.Int64 // how often others get their turn during a sync
	died   func()       // must not block
	once   sync.Once
	diedAt time.Time
	files  atomic.Int64 // open
	maps   atomic.Int64
	locks  atomic.Int64
}

var _ volume.FS = (*process)(nil)

func (m *machine) process(died func()) *process {
	p := &process{machine: m, disk: m.disk, died: died}
	p.left.Store(-1)
	return p
}

// die is SIGKILL: locks are free, and nothing of the process works any more.
func (p *process) die() {
	p.once.Do(func() {
		p.diedAt = time.Now()
		p.dead.Store(true)
		p.disk.Kill()
		p.died()
	})
}

// do counts an operation, and says whether the process lives to see its end.
func (p *process) do(op, name string) error {
	if p.left.Load() > 0 && p.left.Add(-1) == 0 {
		p.die()
	}
	if p.dead.Load() {
		return &fs.PathError{Op: op, Path: name, Err: syscall.EIO}
	}
	return nil
}

// over is what tests find when the process has ended in an orderly way.
func (p *process) over() error {
	if files, maps, locks := p.files.Load(), p.maps.Load(), p.locks.Load(); files+maps+locks != 0 {
		return fmt.Errorf("%s left %d open files, %d mappings and %d locks", p.name, files, maps, locks)
	}
	return nil
}

func (p *process) MakeFolder(dir string) error { return p.do("make folder", dir) }

func (p *process) Lock(dir string) (io.Closer, error) {
	if err := p.do("lock", dir); err != nil {
		return nil, err
	}
	l, err := p.disk.Lock(dir)
	if err != nil {
		return nil, err
	}
	p.locks.Add(1)
	return closer(func() error {
		p.locks.Add(-1)
		if p.dead.Load() { // somebody else may have it
			return nil
		}
		return l.Close()
	}), nil
}

type closer func() error

func (c closer) Close() error { return c() }

func (p *process) List(dir string) ([]durable.FileInfo, error) {
	if err := p.do("list", dir); err != nil {
		return nil, err
	}
	return p.disk.List(dir)
}

func (p *process) Create(name string) (durable.File, error) {
	if err := p.do("create", name); err != nil {
		return nil, err
	}
	return p.file(name)(p.disk.Create(name))
}

func (p *process) Open(name string) (durable.File, error) {
	if err := p.do("open", name); err != nil {
		return nil, err
	}
	return p.file(name)(p.disk.Open(name))
}

func (p *process) file(name string) func(durable.File, error) (durable.File, error) {
	return func(f durable.File, err error) (durable.File, error) {
		if err != nil {
			return nil, err
		}
		p.files.Add(1)
		return &file{f, p, name}, nil
	}
}

func (p *process) Rename(from, to string) error {
	if err := p.do("rename", from); err != nil {
		return err
	}
	return p.disk.Rename(from, to)
}

func (p *process) Remove(name string) error {
	if err := p.do("remove", name); err != nil {
		return err
	}
	return p.disk.Remove(name)
}

func (p *process) SyncFolder(dir string) error {
	if err := p.do("sync", dir); err != nil {
		return err
	}
	return p.disk.SyncFolder(dir)
}

func (p *process) Link(from, to string) error {
	if err := p.do("link", from); err != nil {
		return err
	}
	return p.disk.Link(from, to)
}

func (p *process) Map(name string) ([]byte, func() error, error) {
	if err := p.do("map", name); err != nil {
		return nil, nil, err
	}
	data, ok := p.disk.Content(name)
	if !ok {
		return nil, nil, &fs.PathError{Op: "map", Path: name, Err: fs.ErrNotExist}
	}
	p.maps.Add(1)
	return data, func() error { p.maps.Add(-1); return nil }, nil
}

func (p *process) Advise([]byte) {}

// file is an open file of a process.
type file struct {
	durable.File
	process *process
	name    string
}

func (f *file) ReadAt(b []byte, off int64) (int, error) {
	if f.process.dead.Load() {
		return 0, &fs.PathError{Op: "read", Path: f.name, Err: syscall.EIO}
	}
	return f.File.ReadAt(b, off)
}

func (f *file) WriteAt(b []byte, off int64) (int, error) {
	p := f.process
	if p.left.Load() == 1 && !p.dead.Load() { // killed in the middle of it
		_, _ = f.File.WriteAt(b[:len(b)/2], off)
	}
	if err := p.do("write", f.name); err != nil {
		return 0, err
	}
	return f.File.WriteAt(b, off)
}

func (f *file) Truncate(size int64) error {
	if err := f.process.do("truncate", f.name); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *file) Sync() error {
	for range f.process.lag.Load() { // others go on meanwhile; a lock may be held, so the clock cannot
		runtime.Gosched()
	}
	if err := f.process.do("sync", f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

func (f *file) Close() error {
	f.process.files.Add(-1)
	return f.File.Close()
}
