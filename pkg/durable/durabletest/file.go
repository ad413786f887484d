package durabletest

import (
	"io"
	"io/fs"
	"slices"
	"syscall"
)

// handle is an open file.
type handle struct {
	disk   *Disk
	name   string
	file   *inode
	closed bool
}

func (h *handle) ReadAt(p []byte, off int64) (int, error) {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.closed {
		return 0, failure("read", h.name, fs.ErrClosed)
	}
	if off >= int64(len(h.file.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.file.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (h *handle) WriteAt(p []byte, off int64) (int, error) {
	d := h.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if h.closed {
		return 0, failure("write", h.name, fs.ErrClosed)
	}
	if d.off {
		return 0, failure("write", h.name, syscall.EIO)
	}
	var err error
	n := len(p)
	if d.failsLocked(d.faults.Write) {
		n, err = d.random.IntN(n+1), failure("write", h.name, syscall.EIO)
	}
	size := int64(len(h.file.data))
	if room := d.limit - d.usedLocked(); off+int64(n) > size && off+int64(n)-size > room {
		n, err = max(0, int(size+room-off)), failure("write", h.name, syscall.ENOSPC)
	}
	if n > 0 {
		h.file.change(change{off, slices.Clone(p[:n])})
		h.file.modified = d.now()
	}
	return n, err
}

func (h *handle) Truncate(size int64) error {
	d := h.disk
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off || h.closed || d.failsLocked(d.faults.Truncate) {
		return failure("truncate", h.name, syscall.EIO)
	}
	h.file.change(change{off: size})
	return nil
}

// change is what programs see at once, and the disk later or never.
func (f *inode) change(c change) {
	f.data = c.apply(f.data)
	f.changes = append(f.changes, c)
}

// apply carries out a change. It may change b.
func (c change) apply(b []byte) []byte {
	end := int(c.off) + len(c.data)
	if c.data == nil && end < len(b) {
		return b[:end]
	}
	if end > len(b) {
		b = append(b, make([]byte, end-len(b))...)
	}
	copy(b[c.off:], c.data)
	return b
}

func (h *handle) Sync() error {
	d, f := h.disk, h.file
	d.mu.Lock()
	covered, during := len(f.changes), d.during // what is written from now on is not
	d.mu.Unlock()
	if during != nil {
		during(h.name)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.off || h.closed {
		return failure("sync", h.name, syscall.EIO)
	}
	if d.failsLocked(d.faults.Sync) {
		f.synced, f.changes = f.survive(d), nil // what did not come to the disk now never will
		return failure("sync", h.name, syscall.EIO)
	}
	covered = min(covered, len(f.changes))
	for _, c := range f.changes[:covered] {
		f.synced = c.apply(f.synced)
	}
	f.changes = f.changes[covered:]
	return nil
}

func (h *handle) Close() error {
	h.disk.mu.Lock()
	defer h.disk.mu.Unlock()
	if h.closed {
		return failure("close", h.name, fs.ErrClosed)
	}
	h.closed = true
	return nil
}
