package volume

import (
	"io/fs"
	"os"
	"syscall"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
)

// FS is what volumes need of a file system. OS is the real one.
type FS interface {
	durable.FS
	// Map returns the bytes of a file, to be read only, until unmap is called. The
	// file may be removed meanwhile.
	Map(name string) (data []byte, unmap func() error, err error)
	// Link gives a file a second name.
	Link(from, to string) error
}

// OS returns the file system of the operating system.
func OS() FS { return osFS{durable.OS()} }

type osFS struct{ durable.FS }

func (osFS) Link(from, to string) error { return os.Link(from, to) }

func (osFS) Map(name string) ([]byte, func() error, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, nil, err
	}
	if info.Size() == 0 { // nothing can be mapped
		return nil, func() error { return nil }, nil
	}
	data, err := syscall.Mmap(int(file.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, nil, &fs.PathError{Op: "map", Path: name, Err: err}
	}
	return data, func() error { return syscall.Munmap(data) }, nil
}
