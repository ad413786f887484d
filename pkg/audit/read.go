package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"
)

// Bounds of Read.
const (
	// MaxRead is the number of entries that one Read returns at most.
	MaxRead = 10_000
	// maxReadBytes bounds what they take, in bytes of the file.
	maxReadBytes = 16 << 20
	// patience: entries are in the order of their writing, and a clock that was
	// set back makes some of them older than those before. So many that are too
	// old, one after the other, end the search.
	patience = 1000
)

// Read returns the newest entries, oldest first: at most limit of them (0:
// MaxRead, which is also the most), none older than since. Lines that are no entries
// are passed over. It reads from the end, so its cost is that of what it returns,
// and does not hold up Append. What was counted and whose time is over is written first.
func (l *Log) Read(since time.Time, limit int) ([]Entry, error) {
	if limit <= 0 || limit > MaxRead {
		limit = MaxRead
	}
	if err := l.flush(false); err != nil && !errors.Is(err, ErrClosed) {
		return nil, err
	}
	open, err := l.snapshot()
	defer func() {
		for _, part := range open {
			part.file.Close()
		}
	}()
	if err != nil {
		return nil, fmt.Errorf("read audit log %q: %w", l.files.path, err)
	}
	r := reader{since: since, limit: limit}
	for _, part := range open {
		if err := r.read(part.file, part.size); err != nil {
			return nil, fmt.Errorf("read audit log %q: %w", part.file.Name(), err)
		}
		if r.done {
			break
		}
	}
	slices.Reverse(r.entries)
	return r.entries, nil
}

type part struct {
	file *os.File
	size int64
}

// snapshot opens all files, the newest first, while none is put aside.
func (l *Log) snapshot() (open []part, err error) {
	l.writing.Lock()
	defer l.writing.Unlock()
	for n := 0; n <= l.files.keep; n++ {
		path := l.files.path
		if n > 0 {
			path = l.files.aside(n)
		}
		file, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a crash while files were put aside leaves a gap
		}
		if err != nil {
			return open, err
		}
		open = append(open, part{file: file})
		info, err := file.Stat()
		if err != nil {
			return open, err
		}
		open[len(open)-1].size = info.Size()
	}
	return open, nil
}

// reader gathers entries from the end.
type reader struct {
	since   time.Time
	limit   int
	entries []Entry // newest first
	bytes   int
	tooOld  int // one after the other
	done    bool
}

// read goes through one file from its end.
func (r *reader) read(file io.ReaderAt, size int64) error {
	const step = 64 << 10
	buffer := make([]byte, step)
	var rest []byte // the end of a line whose beginning was not read yet
	for end := size; end > 0 && !r.done; {
		start := max(end-step, 0)
		piece := buffer[:end-start]
		if _, err := file.ReadAt(piece, start); err != nil {
			return err
		}
		end = start
		for !r.done {
			i := bytes.LastIndexByte(piece, '\n')
			if i < 0 {
				break
			}
			r.line(piece[i+1:], rest)
			piece, rest = piece[:i], nil
		}
		if len(rest) <= maxLine { // beyond it is no entry, and stays longer than maxLine
			rest = append(slices.Clone(piece), rest...)
		}
	}
	if !r.done {
		r.line(nil, rest)
	}
	return nil
}

// line judges one line, which comes in two pieces.
func (r *reader) line(first, second []byte) {
	line := first
	if len(second) > 0 {
		line = append(slices.Clone(first), second...)
	}
	e, ok := parseLine(line)
	switch {
	case !ok:
	case e.At.Before(r.since):
		r.tooOld++
		r.done = r.tooOld >= patience
	default:
		r.tooOld = 0
		r.entries = append(r.entries, e)
		r.bytes += len(line)
		r.done = len(r.entries) >= r.limit || r.bytes >= maxReadBytes
	}
}
