package durable

import (
	"errors"
	"io"
)

// chunk is how much is read at a time, in bytes.
const chunk = 128 << 10

// window is a piece of a segment in memory. It is moved along, and grows when
// an entry is larger than it.
type window struct {
	// read is as io.ReaderAt has it, but may give less than was asked for without
	// an error. Nothing at all, or io.EOF, is the end.
	read func(p []byte, off int64) (int, error)
	buf  []byte
	off  int64 // of buf[0]
}

// bytes returns what is at off: n bytes at least, fewer at the end only. They are
// valid until the next call.
func (w *window) bytes(off int64, n int) ([]byte, error) {
	if off < w.off || off > w.off+int64(len(w.buf)) {
		w.buf, w.off = w.buf[:0], off
	}
	skip := int(off - w.off)
	if len(w.buf)-skip >= n {
		return w.buf[skip:], nil
	}
	if cap(w.buf)-skip < n { // what is wanted comes to the front
		rest := w.buf[skip:]
		if cap(w.buf) < n {
			w.buf = make([]byte, 0, max(chunk, n+n/4))
		}
		w.buf = w.buf[:copy(w.buf[:cap(w.buf)], rest)]
		w.off, skip = off, 0
	}
	for len(w.buf)-skip < n {
		m, err := w.read(w.buf[len(w.buf):cap(w.buf)], w.off+int64(len(w.buf)))
		w.buf = w.buf[:len(w.buf)+m]
		if err != nil && !errors.Is(err, io.EOF) {
			return w.buf[skip:], err
		}
		if m == 0 || err != nil {
			break
		}
	}
	return w.buf[skip:], nil
}
