package kernel

import (
	"bytes"
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"
)

// Dir is a folder whose entries are listed again and again: the devices of a
// class in sysfs. It stays open. It belongs to one goroutine.
type Dir struct {
	file    File
	raw     []byte // what getdents returned now
	known   []byte // what it returned when names were made
	entries []DirEntry
}

// DirEntry is one name of a folder.
type DirEntry struct {
	Name string
	// Regular says that it is a plain file: in a folder of devices, an
	// attribute of the class (bonding_masters) and not a device.
	Regular bool
}

// NewDir returns the folder at path. Nothing is opened yet.
func NewDir(path string) *Dir { return &Dir{file: File{path: path, fd: -1}} }

// List returns the entries sorted by name, without "." and "..", and whether
// they differ from those of the last successful call. The slice belongs to the
// Dir and is not changed later: a changed folder gets a new one. It allocates
// only when the folder changed.
func (d *Dir) List() (entries []DirEntry, changed bool, err error) {
	kept := d.file.fd >= 0
	err = d.read()
	if err != nil && kept {
		d.file.Close()
		err = d.read()
	}
	if err != nil {
		d.file.Close()
		d.known = d.known[:0]
		return nil, false, err
	}
	if d.entries != nil && bytes.Equal(d.raw, d.known) {
		return d.entries, false, nil
	}
	found, err := parseDirents(d.raw)
	if err != nil {
		return nil, false, err
	}
	d.known = append(d.known[:0], d.raw...)
	changed = d.entries == nil || !slices.Equal(found, d.entries)
	d.entries = found
	return d.entries, changed, nil
}

// Close releases the descriptor. The next List opens the folder again.
func (d *Dir) Close() error { return d.file.Close() }

func (d *Dir) read() error {
	if d.file.fd < 0 {
		fd, err := unix.Open(d.file.path, unix.O_RDONLY|unix.O_CLOEXEC|unix.O_DIRECTORY, 0)
		if err != nil {
			return d.file.pathError("open", err)
		}
		d.file.fd = fd
	} else if _, err := unix.Seek(d.file.fd, 0, 0); err != nil {
		return d.file.pathError("seek", err)
	}
	d.raw = d.raw[:0]
	for {
		d.raw = slices.Grow(d.raw, 4096)
		n, err := unix.Getdents(d.file.fd, d.raw[len(d.raw):cap(d.raw)])
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return d.file.pathError("getdents", err)
		case n == 0:
			return nil
		case len(d.raw)+n > MaxFile:
			return d.file.pathError("getdents", ErrTooLarge)
		}
		d.raw = d.raw[:len(d.raw)+n]
	}
}

// parseDirents reads struct linux_dirent64 (include/linux/dirent.h), one after
// the other in the byte order of the machine: inode (8 bytes), offset (8),
// record length (2), type (1), name up to a zero byte.
func parseDirents(b []byte) ([]DirEntry, error) {
	const header = 19
	entries := []DirEntry{}
	for len(b) > 0 {
		if len(b) < header {
			return nil, &FormatError{Format: "directory", Want: "whole records"}
		}
		length := int(binary.NativeEndian.Uint16(b[16:]))
		if length < header || length > len(b) {
			return nil, &FormatError{Format: "directory", Want: "a record length within the buffer"}
		}
		name := b[header:length]
		if end := bytes.IndexByte(name, 0); end >= 0 {
			name = name[:end]
		}
		if text := string(name); text != "" && text != "." && text != ".." {
			entries = append(entries, DirEntry{Name: text, Regular: b[18] == unix.DT_REG})
		}
		b = b[length:]
	}
	slices.SortFunc(entries, func(a, b DirEntry) int {
		return bytes.Compare([]byte(a.Name), []byte(b.Name))
	})
	return entries, nil
}
