package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// files is the open file and those that were put aside: path.1 is the newest of
// them. Not safe for concurrent use.
type files struct {
	path string
	max  int64 // bytes
	keep int
	file *os.File
	size int64
	torn bool // the file may end in the middle of a line
}

func (f *files) aside(n int) string { return f.path + "." + strconv.Itoa(n) }

// open opens the file for appending. torn is the length of a last line that
// has no end; it is given one.
func (f *files) open() (torn int64, err error) {
	// Non-blocking, or a pipe under that name would hang the daemon's start.
	file, err := os.OpenFile(f.path, os.O_CREATE|os.O_RDWR|os.O_APPEND|syscall.O_NONBLOCK, 0o600)
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			file.Close()
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	if !info.Mode().IsRegular() {
		return 0, errors.New("not a regular file")
	}
	if info.Mode().Perm()&0o077 != 0 { // who logs in from where is nobody else's business
		if err := file.Chmod(0o600); err != nil {
			return 0, err
		}
	}
	if torn, err = tail(file, info.Size()); err != nil {
		return 0, err
	}
	if err := syncFolder(filepath.Dir(f.path)); err != nil { // it may be new
		return 0, err
	}
	f.file, f.size, f.torn = file, info.Size(), torn > 0
	return torn, nil
}

// tail is the number of bytes behind the last line's end.
func tail(file io.ReaderAt, size int64) (int64, error) {
	buffer := make([]byte, 4096)
	for end := size; end > 0; {
		start := max(end-int64(len(buffer)), 0)
		piece := buffer[:end-start]
		if _, err := file.ReadAt(piece, start); err != nil {
			return 0, err
		}
		for i := len(piece) - 1; i >= 0; i-- {
			if piece[i] == '\n' {
				return size - (start + int64(i) + 1), nil
			}
		}
		end = start
	}
	return size, nil
}

// append writes whole lines and syncs.
func (f *files) append(lines []byte) error {
	if f.file == nil {
		return ErrClosed
	}
	if err := f.follow(); err != nil {
		return err
	}
	if f.size > 0 && f.size+int64(len(lines)) > f.max {
		if err := f.rotate(); err != nil {
			return fmt.Errorf("put the full file aside: %w", err)
		}
	}
	if f.torn {
		lines = append([]byte{'\n'}, lines...)
	}
	n, err := f.file.Write(lines)
	f.size += int64(n)
	if err == nil {
		err = f.file.Sync()
	}
	// What a failed write has left may be cut off; the next one ends it. An empty
	// line too many harms nobody.
	f.torn = err != nil
	return err
}

// follow opens the file anew if somebody has moved or removed it, lest the log
// go on in a file that nobody finds.
func (f *files) follow() error {
	named, err := os.Lstat(f.path)
	if err == nil {
		var held fs.FileInfo
		if held, err = f.file.Stat(); err == nil && os.SameFile(named, held) {
			return nil
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	former := f.file
	if _, err := f.open(); err != nil {
		return err
	}
	return former.Close()
}

// rotate puts the file aside and begins a new one. A crash in the middle leaves
// a gap in the numbers, no more.
func (f *files) rotate() error {
	for n := f.keep + 1; ; n++ { // keep may have been larger once
		if err := os.Remove(f.aside(n)); err != nil {
			break
		}
	}
	gap := 1 // files up to the first number that is free move by one
	for ; gap < f.keep; gap++ {
		if _, err := os.Lstat(f.aside(gap)); errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	for n := gap; n > 1; n-- {
		if err := os.Rename(f.aside(n-1), f.aside(n)); err != nil {
			return err
		}
	}
	if f.torn { // it must not stay so in a file that is never written again
		f.file.Write([]byte{'\n'})
	}
	if err := os.Rename(f.path, f.aside(1)); err != nil {
		return err
	}
	former := f.file
	if _, err := f.open(); err != nil {
		return err
	}
	return former.Close()
}

func (f *files) close() error {
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}

func syncFolder(dir string) error {
	folder, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}
