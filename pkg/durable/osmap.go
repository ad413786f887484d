package durable

import (
	"io/fs"
	"os"
	"syscall"
)

// osFile is a file that can be mapped.
type osFile struct{ *os.File }

func (f osFile) Map(size int64) (data []byte, unmap func() error, err error) {
	data, err = syscall.Mmap(int(f.Fd()), 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return nil, nil, &fs.PathError{Op: "map", Path: f.Name(), Err: err}
	}
	return data, func() error { return syscall.Munmap(data) }, nil
}

var _ Mapper = osFile{}
