package kernel

import (
	"errors"
	iofs "io/fs"

	"golang.org/x/sys/unix"
)

// MaxFile is the most that is read of one file, in bytes. The largest ones are
// /proc/stat with its list of interrupts and mountinfo: about 100 bytes for
// each interrupt line or mount.
const MaxFile = 8 << 20

// ErrTooLarge is returned for a file larger than MaxFile.
var ErrTooLarge = errors.New("file is larger than 8 MiB")

// File is a file that is read whole, again and again. It is opened by the
// first Read and then stays open. The zero value is not usable; see NewFile.
// A File belongs to one goroutine.
type File struct {
	path     string
	pathZero []byte // with the zero byte that system calls want; nil: not made yet
	fd       int    // -1: closed

	// OneRead says that the kernel prints the content in one piece
	// (single_open, or an attribute of sysfs), so that a read which does not
	// fill the buffer was the whole. It saves the read that returns nothing.
	// Set it before the first Read.
	OneRead bool
	// Transient closes the file after every Read: for files of which there
	// are too many to keep a descriptor each. Set it before the first Read.
	Transient bool

	// lastErr is kept because some attributes answer every read with the same
	// error (the speed of a link that is down), and rounds must not allocate.
	lastErr *iofs.PathError
}

// NewFile returns the file at path. Nothing is opened yet.
func NewFile(path string) *File { return &File{path: path, fd: -1} }

// Path returns where the file is.
func (f *File) Path() string { return f.path }

// Read reads the whole file into buf from its beginning, growing it when it is
// too small, and returns the filled part. The caller passes the same buffer to
// the next Read, so that in the long run none is allocated. Errors are
// *fs.PathError; see NotThere.
func (f *File) Read(buf []byte) ([]byte, error) {
	kept := f.fd >= 0
	content, err := f.readOnce(buf)
	if err != nil && kept && f.worthReopening() {
		f.Close()
		content, err = f.readOnce(buf)
	}
	if f.Transient || (err != nil && f.worthReopening()) {
		f.Close()
	}
	return content, err
}

// Close releases the descriptor. The next Read opens the file again.
func (f *File) Close() error {
	if f.fd < 0 {
		return nil
	}
	fd := f.fd
	f.fd = -1
	return unix.Close(fd)
}

func (f *File) readOnce(buf []byte) ([]byte, error) {
	if f.fd < 0 {
		if err := f.open(); err != nil {
			return buf[:0], err
		}
	}
	if cap(buf) == 0 {
		buf = make([]byte, 4096)
	}
	buf = buf[:cap(buf)]
	filled := 0
	for {
		n, err := unix.Pread(f.fd, buf[filled:], int64(filled))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return buf[:0], f.pathError("read", err)
		}
		filled += n
		if n == 0 || (f.OneRead && filled < len(buf)) {
			return buf[:filled], nil
		}
		if filled == len(buf) {
			if filled >= MaxFile {
				return buf[:0], f.pathError("read", ErrTooLarge)
			}
			buf = append(buf, make([]byte, len(buf))...)
			if f.OneRead {
				filled = 0 // the kernel prints it anew for the larger buffer
			}
		}
	}
}

// worthReopening tells failures of the descriptor, of which lastErr is one,
// from answers of the kernel, which would only be the same again.
func (f *File) worthReopening() bool {
	switch f.lastErr.Err {
	case unix.EINVAL, unix.EOPNOTSUPP, unix.EPERM, unix.EACCES:
		return false
	}
	return true
}

func (f *File) pathError(op string, err error) error {
	if f.lastErr == nil || f.lastErr.Err != err || f.lastErr.Op != op {
		f.lastErr = &iofs.PathError{Op: op, Path: f.path, Err: err}
	}
	return f.lastErr
}
