package durable

import (
	"errors"
	"io"
)

// walker goes over the entries of one segment, from one to the next.
type walker struct {
	file  string // path, for Damage
	key   key
	first uint64 // index of the segment's first record
	// end is the index behind its last record: what comes then does not count. 0:
	// not known, the segment ends where its bytes end.
	end uint64
	win window

	at     int64  // offset of the next entry
	number uint32 // of the next record in the segment
	good   int64  // end of the last entry that was whole
}

// entry is one entry. data is valid until the walker goes on.
type entry struct {
	at     int64
	number uint32
	kind   kind
	data   []byte
}

// enter puts the walker at the beginning of a segment. It keeps its memory.
func (w *walker) enter(file string, h header, end uint64, read func(p []byte, off int64) (int, error)) {
	*w = walker{
		file: file, key: newKey(h.salt), first: h.first, end: end,
		win: window{read: read, buf: w.win.buf[:0]},
		at:  headerSize, good: headerSize,
	}
}

// seat puts the walker at an entry whose number is not known, and reports whether
// there is one.
func (w *walker) seat(at int64) bool {
	b, err := w.win.bytes(at, headSize)
	if err != nil || len(b) < headSize {
		return false
	}
	h, ok := w.key.parseHead(b)
	if !ok || !w.wholeAt(at, h) {
		return false
	}
	w.at, w.good, w.number = at, at, h.number
	return true
}

// index is that of the next record.
func (w *walker) index() uint64 { return w.first + uint64(w.number) }

// next returns the next entry; io.EOF at the end; or a *Damage, behind which the
// next call goes on. At the end of a segment that still grows, the next call
// looks again.
func (w *walker) next() (entry, error) {
	if w.end != 0 && w.index() >= w.end {
		return entry{}, io.EOF
	}
	b, err := w.win.bytes(w.at, headSize)
	switch {
	case errors.Is(err, ErrClosed):
		return entry{}, err
	case err != nil:
		return entry{}, w.damage("cannot be read: " + err.Error())
	case len(b) == 0 && w.end == 0:
		return entry{}, io.EOF
	case len(b) == 0:
		return entry{}, w.damage("the file ends too early")
	case len(b) < headSize:
		return entry{}, w.damage("record is cut off")
	}
	h, ok := w.key.parseHead(b)
	if !ok || h.number != w.number {
		return entry{}, w.damage("no record begins here")
	}
	size := headSize + h.length
	if b, err = w.win.bytes(w.at, size); err != nil {
		return entry{}, w.damage("cannot be read: " + err.Error())
	}
	if len(b) < size {
		return entry{}, w.damage("record is cut off")
	}
	if !whole(b[:size]) {
		return entry{}, w.damage("checksum does not match")
	}
	found := entry{at: w.at, number: w.number, kind: h.kind, data: b[headSize:size:size]}
	w.at += int64(size)
	w.good = w.at
	if h.kind != kindMark {
		w.number++
	}
	return found, nil
}

// damage describes what is between here and the next unharmed entry, and goes
// there.
func (w *walker) damage(why string) *Damage {
	d := &Damage{File: w.file, Offset: w.at, Why: why, Lost: Range{First: w.index()}}
	at, number, found := w.find()
	d.Length = at - d.Offset
	w.at = at
	switch {
	case found:
		w.number = number
		d.Lost.End = w.index()
	case w.end != 0:
		w.number = uint32(w.end - w.first)
		d.Lost.End = w.end
	}
	return d
}

// find looks for the next whole entry from here on. It may have any number that
// entries which were destroyed can have left room for. Without one, at is the
// end.
func (w *walker) find() (at int64, number uint32, found bool) {
	const block = 4096
	skip := int64(block)
	for off := w.at; ; {
		b, err := w.win.bytes(off, chunk/2)
		if err != nil && skip > 1<<40 || errors.Is(err, ErrClosed) {
			return off, 0, false
		}
		if err != nil {
			// Go on behind the block that cannot be read. A dying disk takes seconds
			// for each, so the steps grow.
			off = (off/block)*block + skip
			skip *= 2
			continue
		}
		skip = block
		if len(b) < headSize {
			return off + int64(len(b)), 0, false
		}
		passed, h, found := w.search(b, off)
		off += int64(passed)
		if found && w.wholeAt(off, h) {
			return off, h.number, true
		}
		if found {
			off++
		}
	}
}

// search returns where in b, which is at off, the first head is that may begin
// an entry, or how much of b can be passed over.
func (w *walker) search(b []byte, off int64) (skip int, h head, found bool) {
	for i := 0; i+headSize <= len(b); i++ {
		if b[i+3] > byte(kindMark) { // most bytes end here
			continue
		}
		h, ok := w.key.parseHead(b[i:])
		room := uint32((off + int64(i) - w.good) / headSize)
		if ok && h.number-w.number <= room { // unsigned: not below either
			return i, h, true
		}
	}
	return len(b) - headSize + 1, head{}, false
}

func (w *walker) wholeAt(at int64, h head) bool {
	size := headSize + h.length
	b, err := w.win.bytes(at, size)
	return err == nil && len(b) >= size && whole(b[:size])
}
