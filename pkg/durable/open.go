package durable

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
)

// Open opens or makes the log in a folder, which has no other use. It repairs what
// a crash has left, and reports that and what else is damaged; nothing is
// deleted for it. Only the last segment is read, unless Options.Check.
//
//   - Records at the end that were never known to be on disk are written again and
//     synced, up to the first that is not whole.
//   - Everything from there on is a torn tail: its bytes are moved to a file
//     NAME.torn-OFFSET.
//   - A segment whose header cannot be read becomes NAME.damaged.
//
// The error wraps ErrLocked, or ErrNewerFormat and then everything is as it was, or
// ErrDisk.
func Open(dir string, opts Options) (_ *Log, found []*Damage, err error) {
	if err := opts.Validate(); err != nil {
		return nil, nil, fmt.Errorf("open log %q: %w", dir, err)
	}
	opts = opts.withDefaults()
	l := &Log{dir: dir, disk: opts.FS, opts: opts, next: 1, synced: 1, marked: 1, fresh: true}
	if err := l.disk.MakeFolder(dir); err != nil {
		return nil, nil, diskError("make folder", dir, err)
	}
	if l.lock, err = l.disk.Lock(dir); errors.Is(err, ErrLocked) {
		return nil, nil, fmt.Errorf("open log %q: %w", dir, err)
	} else if err != nil {
		return nil, nil, diskError("lock folder", dir, err)
	}
	defer func() {
		if err == nil {
			return
		}
		if l.file != nil {
			l.file.Close()
		}
		l.lock.Close()
	}()
	r := recovery{log: l}
	if err := r.run(); err != nil {
		return nil, nil, err
	}
	if opts.Check {
		more, err := l.Verify()
		if err != nil {
			return nil, nil, err
		}
		r.found = mergeDamage(r.found, more)
	}
	return l, r.found, nil
}

// mergeDamage adds what was found on reading everything to what was found before.
func mergeDamage(found, more []*Damage) []*Damage {
	for _, d := range more {
		known := func(f *Damage) bool { return f.File == d.File && f.Offset == d.Offset }
		if !slices.ContainsFunc(found, known) {
			found = append(found, d)
		}
	}
	return found
}

// recovery brings a log back from its folder.
type recovery struct {
	log   *Log
	found []*Damage
	names map[string]bool // of all files in the folder
	bad   []badSegment
}

// badSegment is one whose header cannot be read.
type badSegment struct {
	number uint64
	info   FileInfo
	why    string
}

func (r *recovery) run() error {
	l := r.log
	files, err := l.disk.List(l.dir)
	if err != nil {
		return diskError("list folder", l.dir, err)
	}
	// Names that a process saw before it died need not be on disk yet, and
	// what goes into those files from now on will be said to be.
	if err := l.disk.SyncFolder(l.dir); err != nil {
		return diskError("sync folder", l.dir, err)
	}
	slices.SortFunc(files, func(a, b FileInfo) int { return cmp.Compare(a.Name, b.Name) })
	r.names = map[string]bool{}
	for _, info := range files {
		r.names[info.Name] = true
		number, rest, ok := segmentNumber(info.Name)
		if !ok {
			continue
		}
		l.number = max(l.number, number)
		if rest != "" {
			continue
		}
		if err := r.look(number, info); err != nil {
			return err
		}
	}
	// Until here nothing was changed.
	for name := range r.names { // they hold a header at most
		if _, rest, ok := segmentNumber(name); ok && rest == newSuffix {
			l.disk.Remove(filepath.Join(l.dir, name))
		}
	}
	for i, s := range l.segments[:max(0, len(l.segments)-1)] {
		s.end = l.segments[i+1].follows
		l.older += s.size
	}
	if err := r.last(); err != nil {
		return err
	}
	return r.moveBad()
}

// look reads the header of a segment.
func (r *recovery) look(number uint64, info FileInfo) error {
	l := r.log
	path := filepath.Join(l.dir, info.Name)
	file, err := l.disk.Open(path)
	if err != nil {
		return diskError("open", path, err)
	}
	defer file.Close()
	b := make([]byte, headerSize)
	n, err := file.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		r.bad = append(r.bad, badSegment{number, info, "header cannot be read: " + err.Error()})
		return nil
	}
	h, err := parseHeader(b[:n])
	if err == nil && h.number != number {
		err = fmt.Errorf("header of segment %d", h.number)
	}
	if errors.Is(err, ErrNewerFormat) {
		return fmt.Errorf("open %q: %w", path, err)
	}
	if err != nil {
		r.bad = append(r.bad, badSegment{number, info, err.Error()})
		return nil
	}
	s := newSegment(h, path, info.Modified)
	s.size = info.Size
	l.segments = append(l.segments, s)
	return nil
}

// moveBad sets the segments aside whose header cannot be read. If one of them was
// the last, nobody knows how far its records went: their indexes are not given
// out again.
func (r *recovery) moveBad() error {
	l := r.log
	if len(r.bad) == 0 {
		return nil
	}
	beyond := uint64(0)
	for _, bad := range r.bad {
		if last := l.last(); last == nil || last.number < bad.number {
			beyond += uint64(bad.info.Size)/headSize + 1
		}
	}
	if beyond > 0 { // first of all, or a crash would make that forgotten
		if err := l.Advance(l.next + beyond); err != nil {
			return err
		}
	}
	for _, bad := range r.bad {
		aside := r.free(bad.info.Name + damagedSuffix)
		path := filepath.Join(l.dir, bad.info.Name)
		if err := l.disk.Rename(path, aside); err != nil {
			return diskError("set aside", path, err)
		}
		// Which records are missing, readers find out.
		d := &Damage{File: path, Length: bad.info.Size, Why: bad.why, Aside: aside}
		r.found = append(r.found, d)
	}
	if err := l.disk.SyncFolder(l.dir); err != nil {
		return diskError("sync folder", l.dir, err)
	}
	return nil
}

// free returns a path for a name, or one like it, that no file has.
func (r *recovery) free(name string) string {
	for n, tried := 2, name; ; n++ {
		if !r.names[tried] {
			r.names[tried] = true
			return filepath.Join(r.log.dir, tried)
		}
		tried = fmt.Sprintf("%s.%d", name, n)
	}
}
