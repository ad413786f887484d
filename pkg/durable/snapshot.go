package durable

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
)

// Linker is an FS that can give a file a second name. It is optional: without it
// files are copied.
type Linker interface {
	Link(from, to string) error
}

// Snapshot makes a log of its own, in another folder, of everything that was
// appended before the call. The folder is made if it is missing, and must not hold a
// log. It can be opened when Snapshot has returned nil.
//
// The log begins a new segment, and the ones before, which nobody writes to any
// more, get further names there, or are copied where that cannot be. Behind them is
// a last segment of the snapshot's own, without records: so whoever opens the
// snapshot and appends to it writes to no file that this log has as well.
//
// Appends and reads go on meanwhile. Records must not be dropped: the error wraps
// ErrDropped then. Others are those of Rotate. After an error nothing is left, but
// for the folder.
func (l *Log) Snapshot(dir string) (err error) {
	var made []string
	defer func() {
		if err != nil {
			for _, name := range made {
				err = errors.Join(err, l.disk.Remove(name))
			}
		}
	}()
	closed, fresh, err := l.closedSegments()
	if err != nil {
		return err
	}
	if err := l.disk.MakeFolder(dir); err != nil {
		return diskError("make folder", dir, err)
	}
	if err := l.vacant(dir); err != nil {
		return err
	}
	for _, path := range closed {
		name := filepath.Join(dir, filepath.Base(path))
		created, err := Duplicate(l.disk, path, name)
		if created {
			made = append(made, name)
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("snapshot of %q: %w", path, ErrDropped)
		}
		if err != nil {
			return err
		}
	}
	name := filepath.Join(dir, segmentName(fresh.number))
	created, err := l.writeHeader(name, fresh)
	if created {
		made = append(made, name)
	}
	if err != nil {
		return err
	}
	if err := l.disk.SyncFolder(dir); err != nil {
		return diskError("sync folder", dir, err)
	}
	return nil
}

// closedSegments begins a new segment, and returns the paths of those before it, and the header of
// a segment that can take the place of the new one.
func (l *Log) closedSegments() (closed []string, fresh header, err error) {
	l.writer.Lock()
	defer l.writer.Unlock()
	if err := l.rotateAll(); err != nil {
		return nil, header{}, err
	}
	for _, s := range l.segments[:len(l.segments)-1] {
		closed = append(closed, s.path)
	}
	fresh = l.last().header
	if _, err := io.ReadFull(l.opts.Random, fresh.salt[:]); err != nil {
		return nil, header{}, diskError("read random numbers for", l.dir, err)
	}
	return closed, fresh, nil
}

// vacant says whether a folder has no log.
func (l *Log) vacant(dir string) error {
	files, err := l.disk.List(dir)
	if err != nil {
		return diskError("list folder", dir, err)
	}
	for _, info := range files {
		if _, _, ok := segmentNumber(info.Name); ok {
			return diskError("snapshot", filepath.Join(dir, info.Name), fs.ErrExist)
		}
	}
	return nil
}

// writeHeader makes the file of a segment without records.
func (l *Log) writeHeader(name string, h header) (created bool, err error) {
	file, err := l.disk.Create(name)
	if err != nil {
		return false, diskError("create", name, err)
	}
	if _, err = file.WriteAt(h.append(nil), 0); err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return true, diskError("write", name, err)
	}
	return true, nil
}

// Duplicate gives a file that is not written to any more a second name, or copies and syncs
// it where that cannot be: on another device, or on a file system without links. It
// overwrites nothing. SyncFolder is left to the caller. created says whether there
// is something under the name, also after an error.
func Duplicate(disk FS, from, to string) (created bool, err error) {
	if linker, can := disk.(Linker); can {
		err := linker.Link(from, to)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, fs.ErrExist), errors.Is(err, fs.ErrNotExist):
			return false, diskError("link", from, err)
		}
	}
	source, err := disk.Open(from)
	if err != nil {
		return false, diskError("open", from, err)
	}
	defer source.Close()
	out, err := disk.Create(to)
	if err != nil {
		return false, diskError("create", to, err)
	}
	err = copyAll(out, source)
	if err = errors.Join(err, out.Close()); err != nil {
		return true, diskError("copy", to, err)
	}
	return true, nil
}

// syncEvery is after how many bytes of a copy it is synced, so that other syncs never
// wait behind much.
const syncEvery = 16 << 20

func copyAll(out, source File) error {
	b := make([]byte, chunk)
	for at, unsynced := int64(0), 0; ; {
		n, err := source.ReadAt(b, at)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if n > 0 {
			if _, err := out.WriteAt(b[:n], at); err != nil {
				return err
			}
		}
		at += int64(n)
		if unsynced += n; n == 0 || unsynced >= syncEvery {
			unsynced = 0
			if err := out.Sync(); err != nil {
				return err
			}
		}
		if n == 0 {
			return nil
		}
	}
}
