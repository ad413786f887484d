package durable

import (
	"errors"
	"io"
	"path/filepath"
)

// scan is what the entries of the last segment say.
type scan struct {
	// sure is the highest number up to which, by what is written in the segment
	// itself, records are on disk.
	sure    uint32
	entries []place // from there on
	number  uint32  // behind the last record
	breaks  []gap
}

// place is where an entry is.
type place struct {
	number uint32
	at     int64
}

// gap is damage between the numbers before and after; the end, if nothing
// follows.
type gap struct {
	*Damage
	before, after uint32
	atEnd         bool
}

// scanSegment reads a segment to its end.
func scanSegment(w *walker) (s scan) {
	for {
		before := w.number
		found, err := w.next()
		if err == nil {
			switch found.kind {
			case kindMark:
				s.trust(min(markOf(found.data), found.number))
			case kindSure:
				s.trust(found.number)
			}
			s.entries = append(s.entries, place{found.number, found.at})
			continue
		}
		var damage *Damage
		switch {
		case errors.As(err, &damage):
			s.breaks = append(s.breaks, gap{damage, before, w.number, damage.Lost.End == 0})
		default:
			s.number = w.number
			return s
		}
	}
}

func (s *scan) trust(sure uint32) {
	s.sure = max(s.sure, sure)
	n := 0
	for n < len(s.entries) && s.entries[n].number < s.sure {
		n++
	}
	s.entries = s.entries[n:]
}

// torn takes the first break that damage to what was on disk does not explain: it
// is where the last writes have not, or not all, come to the disk. Records behind
// it do not count, even if they are whole, because those before them are missing.
func (s *scan) torn() *gap {
	for i, b := range s.breaks {
		if b.atEnd || b.before >= s.sure || b.after > s.sure {
			s.breaks, s.number = s.breaks[:i], max(b.before, s.sure)
			for n, p := range s.entries {
				if p.at > b.Offset {
					s.entries = s.entries[:n]
					break
				}
			}
			return &b
		}
	}
	return nil
}

// last repairs the last segment and makes the log go on behind it.
func (r *recovery) last() error {
	l := r.log
	s := l.last()
	if s == nil {
		return nil
	}
	file, err := l.disk.Open(s.path)
	if err != nil {
		return diskError("open", s.path, err)
	}
	l.file, l.fresh = file, false
	var w walker
	w.enter(s.path, s.header, 0, io.NewSectionReader(file, 0, s.size).ReadAt)
	said := scanSegment(&w)
	end := w.at
	if torn := said.torn(); torn != nil {
		end = torn.Offset
		torn.Torn, torn.Lost = true, Range{First: s.first + uint64(torn.before)}
		torn.Length = s.size - end
		if torn.Aside, err = r.cutOff(file, s, torn.Offset, torn.Length); err != nil {
			// There is no room to move it to, or it cannot be read. Then it stays,
			// and the log goes on in a new segment.
			l.fresh = true
		}
		if torn.before < said.sure {
			// Records on disk are damaged too, as many as the segment has no more
			// room to tell of.
			l.fresh, torn.Torn = true, false
		}
		said.breaks = append(said.breaks, *torn)
	}
	for _, b := range said.breaks {
		r.found = append(r.found, b.Damage)
	}
	s.size = end
	l.next, l.synced = s.first+uint64(said.number), s.first+uint64(said.sure)
	l.marked = l.synced
	l.tail.at, l.written = end, end
	if len(said.entries) == 0 {
		return nil
	}
	return r.rewrite(file, said.entries[0].at, end)
}

// rewrite takes the entries that may not be on disk into the tail, as if they had
// just been appended, and syncs them. A sync alone would not do: if one has failed
// before this process began, the system may think that it has written them.
func (r *recovery) rewrite(file File, at, end int64) error {
	l := r.log
	again := make([]byte, end-at)
	if _, err := file.ReadAt(again, at); err != nil && !errors.Is(err, io.EOF) {
		return diskError("read", l.last().path, err)
	}
	l.tail = tail{at: at, buf: again}
	l.written = at
	// If it fails they are not synced; the next Append or Sync tries again.
	if !l.fresh && l.flush() == nil {
		l.settled(l.last().path, end, l.next, file.Sync())
	}
	return nil
}

// cutOff moves the bytes from at on to a file of their own.
func (r *recovery) cutOff(file File, s *segment, at, length int64) (aside string, err error) {
	l := r.log
	to := r.free(tornName(filepath.Base(s.path), at))
	if err := l.copyOut(file, at, length, to); err != nil {
		l.disk.Remove(to)
		return "", err
	}
	if err := l.disk.SyncFolder(l.dir); err != nil {
		return "", err
	}
	if err := file.Truncate(at); err != nil {
		return to, err
	}
	return to, file.Sync()
}

func (l *Log) copyOut(file File, at, length int64, to string) error {
	out, err := l.disk.Create(to)
	if err != nil {
		return err
	}
	defer out.Close()
	b := make([]byte, min(length, chunk))
	for done := int64(0); done < length; {
		n, err := file.ReadAt(b[:min(int64(len(b)), length-done)], at+done)
		if n == 0 && err != nil {
			return err
		}
		if _, err := out.WriteAt(b[:n], done); err != nil {
			return err
		}
		done += int64(n)
	}
	return out.Sync()
}
