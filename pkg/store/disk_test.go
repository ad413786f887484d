package store

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
)

// disk is a durabletest.Disk whose files can be mapped, as copies, and that can stop to
// take changes.
type disk struct {
	*durabletest.Disk
	blind atomic.Bool  // no file can be opened
	left  atomic.Int64 // how many changes it takes; below 0: any number
	fails error        // what it says then
	in    string       // only below that folder; "": everywhere
}

func newDisk(seed uint64) *disk { return diskOf(durabletest.New(seed)) }

func diskOf(d *durabletest.Disk) *disk {
	all := &disk{Disk: d, fails: syscall.EIO}
	all.left.Store(-1)
	return all
}

// stopAfter makes all changes but the next n fail.
func (d *disk) stopAfter(n int64, err error) {
	d.stopIn("", n, err)
}

// stopIn makes all changes in a folder of the store but the next n fail.
func (d *disk) stopIn(folder string, n int64, err error) {
	d.fails, d.in = err, ""
	if folder != "" {
		d.in = "store/" + folder
	}
	d.left.Store(n)
}

// goOn ends stopAfter, and says whether a change has failed.
func (d *disk) goOn() (failed bool) { return d.left.Swap(-1) == 0 }

// take counts a change.
func (d *disk) take(op, name string) error {
	for {
		n := d.left.Load()
		if n < 0 || !strings.HasPrefix(name, d.in) {
			return nil
		}
		if n == 0 {
			return &fs.PathError{Op: op, Path: name, Err: d.fails}
		}
		if d.left.CompareAndSwap(n, n-1) {
			return nil
		}
	}
}

func (d *disk) Create(name string) (durable.File, error) {
	if err := d.take("create", name); err != nil {
		return nil, err
	}
	f, err := d.Disk.Create(name)
	return d.file(name, f), err
}

func (d *disk) Open(name string) (durable.File, error) {
	if d.blind.Load() {
		return nil, &fs.PathError{Op: "open", Path: name, Err: syscall.EMFILE}
	}
	f, err := d.Disk.Open(name)
	return d.file(name, f), err
}

func (d *disk) file(name string, f durable.File) durable.File {
	if f == nil {
		return nil
	}
	return &diskFile{f, d, name}
}

func (d *disk) Rename(from, to string) error {
	if err := d.take("rename", from); err != nil {
		return err
	}
	return d.Disk.Rename(from, to)
}

func (d *disk) Remove(name string) error {
	if err := d.take("remove", name); err != nil {
		return err
	}
	return d.Disk.Remove(name)
}

func (d *disk) SyncFolder(dir string) error {
	if err := d.take("sync", dir); err != nil {
		return err
	}
	return d.Disk.SyncFolder(dir)
}

func (d *disk) Map(name string) ([]byte, func() error, error) {
	data, ok := d.Content(name)
	if !ok {
		return nil, nil, fmt.Errorf("map %q: %w", name, fs.ErrNotExist)
	}
	return data, func() error { return nil }, nil
}

func (d *disk) Advise([]byte) {}

func (d *disk) Link(from, to string) error { return errors.ErrUnsupported }

type diskFile struct {
	durable.File
	disk *disk
	name string
}

func (f *diskFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.disk.take("write", f.name); err != nil {
		return 0, err
	}
	return f.File.WriteAt(p, off)
}

func (f *diskFile) Truncate(size int64) error {
	if err := f.disk.take("truncate", f.name); err != nil {
		return err
	}
	return f.File.Truncate(size)
}

func (f *diskFile) Sync() error {
	if err := f.disk.take("sync", f.name); err != nil {
		return err
	}
	return f.File.Sync()
}

// on are a configuration and dependencies for a store on a disk.
func on(d *disk) (Config, Deps) {
	deps := testDeps()
	deps.FS = d
	return testConfig("store"), deps
}

// openOn opens a store on a disk. It is closed when the test ends, whatever the
// disk says.
func openOn(t testing.TB, d *disk) *Store {
	t.Helper()
	config, deps := on(d)
	s, err := Open(config, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// copied is a disk with the same files.
func copied(d *disk) *disk {
	after := newDisk(1)
	for _, name := range d.Names() {
		content, _ := d.Content(name)
		after.SetContent(name, content)
	}
	return after
}

// filesIn are the files of a folder of the store.
func filesIn(d *disk, folder string) (names []string) {
	for _, name := range d.Names() {
		if strings.HasPrefix(name, "store/"+folder+"/") {
			names = append(names, name)
		}
	}
	return names
}

// spoil changes a file.
func (d *disk) spoil(name string, change func(content []byte) []byte) {
	content, _ := d.Content(name)
	d.SetContent(name, change(content))
}
