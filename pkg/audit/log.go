package audit

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// ErrClosed says that the log was closed.
var ErrClosed = errors.New("audit log is closed")

// Log is an audit log. Safe for concurrent use.
type Log struct {
	now      func() time.Time
	daemon   string
	repaired int64

	writing sync.Mutex // held for the disk, never while mu is
	files   files

	mu     sync.Mutex
	next   *batch // what waits to be written, if anything
	fold   fold
	closed bool
}

// batch is what several callers wait for together: one write, one fsync.
type batch struct {
	lines []byte
	done  chan struct{} // closed when err is set
	err   error
}

// Open opens the log at path, and makes it if it is not there. If its last line
// was cut off by a crash it is ended where it stands, and an entry says so
// (Repaired). now is the time of entries without one. One process at a time
// writes a log.
func Open(path string, cfg Config, now func() time.Time) (*Log, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("audit log %q: %w", path, err)
	}
	l := &Log{now: now, daemon: cfg.Daemon, files: files{path: path, max: int64(cfg.MaxBytes), keep: cfg.Keep}, fold: newFold()}
	torn, err := l.files.open()
	if err != nil {
		return nil, fmt.Errorf("audit log %q: %w", path, err)
	}
	if l.repaired = torn; torn > 0 {
		err := l.Append(Entry{What: Repaired, Who: "audit log", OK: true,
			Detail: fmt.Sprintf("the last line was cut off after %d bytes, by a crash or a full disk; it is left as it was; nobody was told that it had been written", torn)})
		if err != nil {
			return nil, errors.Join(err, l.Close())
		}
	}
	return l, nil
}

// Repaired is the length in bytes of a last line that Open found cut off; 0: it
// was whole. The line is still there.
func (l *Log) Repaired() int64 { return l.repaired }

// Append writes one entry and returns when it is on disk; entries of callers at
// the same time share an fsync. At is now and Daemon that of Config unless they
// are set. Values are cleaned of
// what is no visible character, and cut off when they are too long.
//
// Entries that strangers can cause without end may be counted instead of written,
// see package comment; then it returns nil at once.
func (l *Log) Append(e Entry) error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return ErrClosed
	}
	if e.At.IsZero() {
		e.At = l.now()
	}
	if e.Daemon == "" {
		e.Daemon = l.daemon
	}
	due := l.fold.due(l.now())
	if !l.fold.take(e, l.now()) {
		due = append(due, e)
	}
	return l.writeAndUnlock(due)
}

// writeAndUnlock writes entries along with those of others. The first to wait
// for a batch writes it; mu is held when it is called, and not afterwards.
func (l *Log) writeAndUnlock(entries []Entry) error {
	var lines []byte
	for _, e := range entries {
		var err error
		if lines, err = appendLine(lines, e); err != nil {
			l.mu.Unlock()
			return err
		}
	}
	if len(lines) == 0 {
		l.mu.Unlock()
		return nil
	}
	b, leads := l.next, false
	if b == nil {
		b, leads = &batch{done: make(chan struct{})}, true
		l.next = b
	}
	b.lines = append(b.lines, lines...)
	l.mu.Unlock()
	if leads {
		l.lead(b)
	}
	<-b.done
	return b.err
}

// lead writes b, once the batch before it is written. Whoever comes until then
// joins.
func (l *Log) lead(b *batch) {
	l.writing.Lock()
	defer l.writing.Unlock()
	l.mu.Lock()
	l.next = nil
	l.mu.Unlock()
	if err := l.files.append(b.lines); err != nil {
		b.err = fmt.Errorf("write audit log %q: %w", l.files.path, err)
	}
	close(b.done)
}

// flush writes the counts whose time is over, or all of them.
func (l *Log) flush(all bool) error {
	l.mu.Lock()
	if all {
		return l.writeAndUnlock(l.fold.all())
	}
	return l.writeAndUnlock(l.fold.due(l.now()))
}

// Close writes what was counted so far and closes the file. It waits for Appends
// that are under way, and may be called more than once.
func (l *Log) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	last := l.next // somebody waits for it, and will write it
	err := l.writeAndUnlock(l.fold.all())
	if last != nil {
		<-last.done
	}
	l.writing.Lock()
	defer l.writing.Unlock()
	return errors.Join(err, l.files.close())
}
