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
	// file may be removed meanwhile. They will be read here and there: what is
	// around them is not worth reading.
	Map(name string) (data []byte, unmap func() error, err error)
	// Advise says that the mapped bytes from the first on will be read in longer pieces.
	Advise(data []byte)
	// Link gives a file a second name.
	Link(from, to string) error
}

// OS returns the file system of the operating system.
func OS() FS { return osFS{durable.OS()} }

// ReadOnly is OS for folders that must not, or cannot, be written to.
func ReadOnly() FS { return osFS{durable.ReadOnly()} }

type osFS struct{ durable.FS }

func (osFS) Link(from, to string) error { return os.Link(from, to) }

func (osFS) Advise(data []byte) {
	if len(data) > 0 {
		_ = syscall.Madvise(data, syscall.MADV_NORMAL) // without it, it is only slower
	}
}

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
	// Otherwise opening hundreds of files reads far more than header and footer.
	_ = syscall.Madvise(data, syscall.MADV_RANDOM)
	return data, func() error { return syscall.Munmap(data) }, nil
}
