package durable

import (
	"io"
	"time"
)

// FS is what the log needs of a file system. Names are paths. OS is the real one;
// package durabletest has one whose power can be cut.
//
// Errors are those of package os: fs.ErrNotExist, fs.ErrExist and syscall.ENOSPC
// are told from others by errors.Is. All methods may be called at once.
type FS interface {
	// MakeFolder makes the folder and those above it, for their owner only, if
	// it is missing, and makes that last.
	MakeFolder(dir string) error
	// Lock takes the folder until the Closer is closed. It does not wait: if
	// somebody has it, the error is ErrLocked.
	Lock(dir string) (io.Closer, error)
	// List returns the regular files in the folder, in no order.
	List(dir string) ([]FileInfo, error)
	// Create makes a file that must not be there yet, readable by its owner only.
	Create(name string) (File, error)
	// Open opens a file that is there, for reading and writing.
	Open(name string) (File, error)
	Rename(from, to string) error
	Remove(name string) error
	// SyncFolder makes the names in the folder last.
	SyncFolder(dir string) error
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(size int64) error
	// Sync makes what was written last.
	Sync() error
}

// FileInfo is one file of a folder.
type FileInfo struct {
	Name     string // without the folder
	Size     int64
	Modified time.Time
}
