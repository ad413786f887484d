// Package disk reads and writes the small files that trust rests on, and others
// that are to outlive a crash or to stay secret: a file is
// replaced as a whole or not at all, is never readable by others for a moment,
// and is never read without a bound. All functions block on the disk.
package disk

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// ErrMode says that others than the owner can get at a secret.
var ErrMode = errors.New("readable by others")

// Modes of the files: certificates are public, keys are not.
const (
	Public  fs.FileMode = 0o644
	Private fs.FileMode = 0o600
	Folder  fs.FileMode = 0o700
)

// Replace puts data at path so that after a crash either the old or the new
// content is there, whole. The file is on disk when it returns.
func Replace(path string, data []byte, mode fs.FileMode) error {
	return place(path, data, mode, os.Rename)
}

// Create is Replace for a path that must not exist yet; otherwise it leaves
// everything as it was and returns an error wrapping fs.ErrExist.
func Create(path string, data []byte, mode fs.FileMode) error {
	// A hard link, unlike rename, never replaces: two commands started at once
	// cannot both win.
	return place(path, data, mode, os.Link)
}

func place(path string, data []byte, mode fs.FileMode, put func(from, to string) error) error {
	dir, name := filepath.Split(path)
	temp, err := os.CreateTemp(dir, "."+name+".*")
	if err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	defer os.Remove(temp.Name()) // after a rename there is nothing left to remove
	if err := fill(temp, data, mode); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	if err := put(temp.Name(), path); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	if err := SyncFolder(filepath.Dir(path)); err != nil {
		return fmt.Errorf("write %q: %w", path, err)
	}
	return nil
}

// fill writes, syncs and closes the file. The mode is set before the first
// byte, so a key is never readable by others, not even for a moment.
func fill(file *os.File, data []byte, mode fs.FileMode) error {
	defer file.Close()
	if err := file.Chmod(mode); err != nil {
		return err
	}
	if _, err := file.Write(data); err != nil {
		return err
	}
	if err := file.Sync(); err != nil {
		return err
	}
	return file.Close()
}

// Sweep removes what writers that were killed have left in dir: it may be a secret.
// Nobody may be writing there; the caller holds the folder's lock.
func Sweep(dir string) error { return sweep(dir, func(fs.FileInfo) bool { return true }) }

// SweepOld is Sweep for a folder in which others may be writing: what was last
// written before the given time belongs to nobody any more.
func SweepOld(dir string, before time.Time) error {
	return sweep(dir, func(info fs.FileInfo) bool { return info.ModTime().Before(before) })
}

func sweep(dir string, gone func(fs.FileInfo) bool) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("sweep folder: %w", err)
	}
	var left []string
	for _, entry := range entries {
		if !entry.Type().IsRegular() || !temporary(entry.Name()) {
			continue
		}
		if info, err := entry.Info(); err == nil && gone(info) { // else it has just been renamed
			left = append(left, filepath.Join(dir, entry.Name()))
		}
	}
	return Remove(left...)
}

// temporary reports whether a name is one that place gives to the file which it
// fills: .NAME.DIGITS.
func temporary(name string) bool {
	last := strings.LastIndexByte(name, '.')
	return last > 1 && name[0] == '.' && last+1 < len(name) && strings.Trim(name[last+1:], "0123456789") == ""
}

// Remove deletes the files and makes that last. One that is missing is fine.
func Remove(paths ...string) error {
	var errs []error
	folders := map[string]bool{}
	for _, path := range paths {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		folders[filepath.Dir(path)] = true
	}
	for folder := range folders {
		if err := SyncFolder(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// SyncFolder makes the names in a folder last.
func SyncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

// Lock keeps other processes, and other callers in this one, out of a folder
// until unlock is called. It waits for them.
func Lock(dir string) (unlock func(), err error) {
	folder, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("lock folder: %w", err)
	}
	for {
		err = syscall.Flock(int(folder.Fd()), syscall.LOCK_EX)
		if err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		folder.Close()
		return nil, fmt.Errorf("lock folder %q: %w", dir, err)
	}
	return func() { folder.Close() }, nil // closing gives the lock back
}

// Read reads a public file of at most limit bytes.
func Read(path string, limit int) ([]byte, error) { return read(path, limit, nil) }

// ReadPrivate reads a secret of at most limit bytes; ErrMode when others than
// its owner may read it.
func ReadPrivate(path string, limit int) ([]byte, error) { return read(path, limit, checkMode) }

// checkMode wants u=rw or less; of a file that belongs to root also group
// read, which is how service managers hand a key to one unprivileged user.
func checkMode(path string, info fs.FileInfo) error {
	forbidden := fs.FileMode(0o077)
	if stat, ok := info.Sys().(*syscall.Stat_t); ok && stat.Uid == 0 {
		forbidden = 0o037
	}
	if mode := info.Mode().Perm(); mode&forbidden != 0 {
		return fmt.Errorf("%q: mode %04o: %w; run: chmod 600 %s", path, mode, ErrMode, path)
	}
	return nil
}

func read(path string, limit int, check func(string, fs.FileInfo) error) ([]byte, error) {
	// Non-blocking, or a pipe under that name would hang the daemon's start.
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%q: not a regular file", path)
	}
	if check != nil {
		if err := check(path, info); err != nil {
			return nil, err
		}
	}
	data, err := io.ReadAll(io.LimitReader(file, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", path, err)
	}
	if len(data) > limit {
		return nil, fmt.Errorf("%q: larger than %d bytes", path, limit)
	}
	return data, nil
}
