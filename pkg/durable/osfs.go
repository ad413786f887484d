package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// OS returns the file system of the operating system.
func OS() FS { return osFS{} }

type osFS struct{}

// ReadOnly returns the file system of the operating system, but that files are opened for
// reading only: for folders that must not, or cannot, be written to.
func ReadOnly() FS { return readOnlyFS{} }

type readOnlyFS struct{ osFS }

func (readOnlyFS) Open(name string) (File, error) { return open(name, os.O_RDONLY) }

const (
	folderMode fs.FileMode = 0o700
	fileMode   fs.FileMode = 0o600
)

func (osFS) MakeFolder(dir string) error {
	var made []string
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		if _, err := os.Stat(at); err == nil || !errors.Is(err, fs.ErrNotExist) {
			break
		}
		made = append(made, at)
	}
	if err := os.MkdirAll(dir, folderMode); err != nil {
		return err
	}
	for _, folder := range made { // its name is in the folder above
		if err := (osFS{}).SyncFolder(filepath.Dir(folder)); err != nil {
			return err
		}
	}
	return nil
}

func (osFS) Lock(dir string) (io.Closer, error) {
	folder, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(folder.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EINTR {
			break
		}
	}
	switch {
	case errors.Is(err, syscall.EWOULDBLOCK):
		folder.Close()
		return nil, ErrLocked
	case err != nil:
		folder.Close()
		return nil, &fs.PathError{Op: "lock", Path: dir, Err: err}
	}
	return folder, nil // closing gives the lock back
}

func (osFS) List(dir string) ([]FileInfo, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var files []FileInfo
	for _, entry := range entries {
		if !entry.Type().IsRegular() {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			return nil, fmt.Errorf("list folder: %w", err)
		}
		files = append(files, FileInfo{Name: info.Name(), Size: info.Size(), Modified: info.ModTime()})
	}
	return files, nil
}

func (osFS) Create(name string) (File, error) {
	return open(name, os.O_RDWR|os.O_CREATE|os.O_EXCL)
}

func (osFS) Open(name string) (File, error) { return open(name, os.O_RDWR) }

// open returns a nil File on errors, which a nil *os.File would not be.
func open(name string, flags int) (File, error) {
	file, err := os.OpenFile(name, flags, fileMode)
	if err != nil {
		return nil, err
	}
	return osFile{file}, nil
}

func (osFS) Rename(from, to string) error { return os.Rename(from, to) }
func (osFS) Remove(name string) error     { return os.Remove(name) }

func (osFS) SyncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}
