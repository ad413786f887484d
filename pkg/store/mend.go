package store

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb/record"
	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/prometheus/prometheus/util/compression"
)

// The database's log of late samples also holds markers: "the open chunk of
// this series has moved to the head's chunk files". A replay that meets one
// drops what it has gathered for the series. But chunks reach their file
// through a buffer of megabytes, long after the marker, and a kill takes the
// buffer along. The replay tells such markers by the position they name, which
// fails in two ways:
//
//   - A compaction moves all open chunks first, without markers. The next late
//     sample of a series then writes one that names no position, and that is
//     always believed.
//   - A marker of a lost chunk is believed at the start after the next, when
//     the files have grown beyond the position.
//
// Either loses up to a whole chunk of acknowledged samples for each series. The
// samples themselves are in the log until they are in a block. So a log that
// was left by a kill loses its markers before the database reads it. What was
// moved and did reach its file is then there twice, which queries do not show,
// until the next compaction.

// mend prepares for the database what an earlier process left. After a kill it
// takes as long as reading the log of late samples, and writing it if it holds
// markers.
func (s *Store) mend() error {
	closed, err := openMark(s.config.Dir)
	if err != nil || closed {
		return err
	}
	return dropMarkers(s.log, filepath.Join(s.config.Dir, tsdbName, wblName), filepath.Join(s.config.Dir, scratchName))
}

// openMark takes the mark of a tidy end away, and tells whether there was one.
// From then on, and until closeMark, the chunk files are not to be trusted.
func openMark(dir string) (closed bool, err error) {
	err = os.Remove(filepath.Join(dir, closedName))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = syncPath(dir)
	}
	if err != nil {
		return false, fmt.Errorf("store: %w", err)
	}
	return true, nil
}

// closeMark notes that everything has left the database's buffers.
func closeMark(dir string) error {
	err := os.WriteFile(filepath.Join(dir, closedName), nil, 0o640)
	if err == nil {
		err = syncPath(dir)
	}
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return nil
}

// dropMarkers rewrites the segments of a log of late samples that hold markers
// or are damaged, each in one step: it may be interrupted anywhere and be
// called again. A damaged segment keeps what precedes the damage; without this
// the database would drop all later segments, too. It writes into the folder
// scratch, which it makes and removes. Nothing else may use the log meanwhile.
func dropMarkers(log *slog.Logger, dir, scratch string) error {
	first, last, err := wlog.Segments(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("store: log of late samples: %w", err)
	}
	for i := max(first, 0); i <= last; i++ {
		path := wlog.SegmentName(dir, i)
		found, damage, err := copyWithout(path, nil)
		switch {
		case err != nil:
			return err
		case damage != nil:
			// The kill may have come in the middle of a record; nobody was
			// told that it is stored.
			log.Warn("log of late samples ends early", "segment", path, "err", damage)
		case !found:
			continue
		}
		if err := rewrite(path, scratch); err != nil {
			return fmt.Errorf("store: rewrite %q: %w", path, err)
		}
	}
	return nil
}

// rewrite replaces a segment by one without markers.
func rewrite(path, scratch string) error {
	if err := os.RemoveAll(scratch); err != nil {
		return err
	}
	// What comes out is not larger than what went in, give or take the padding
	// of pages: it fits in one segment.
	out, err := wlog.NewSize(nil, nil, scratch, 2*wlog.DefaultSegmentSize, compression.Snappy)
	if err != nil {
		return err
	}
	_, _, err = copyWithout(path, out)
	if err := errors.Join(err, out.Close()); err != nil {
		return err
	}
	if _, last, err := wlog.Segments(scratch); err != nil || last != 0 {
		return errors.Join(err, fmt.Errorf("got %d segments, want one", last+1))
	}
	// Close logs an error of its fsync only.
	if err := syncPath(wlog.SegmentName(scratch, 0)); err != nil {
		return err
	}
	if err := os.Rename(wlog.SegmentName(scratch, 0), path); err != nil {
		return err
	}
	return errors.Join(syncPath(filepath.Dir(path)), os.RemoveAll(scratch))
}

// copyWithout copies a segment's records, but not its markers, to out, unless
// that is nil. It tells whether there were markers, and what damage ended the
// segment before its time.
func copyWithout(path string, out *wlog.WL) (found bool, damage, err error) {
	segment, err := wlog.OpenReadSegment(path)
	if err != nil {
		return false, nil, fmt.Errorf("store: log of late samples: %w", err)
	}
	buffered := wlog.NewSegmentBufReader(segment)
	defer buffered.Close()
	decoder := record.NewDecoder(labels.NewSymbolTable(), nil)
	in := wlog.NewReader(buffered)
	for in.Next() {
		if decoder.Type(in.Record()) == record.MmapMarkers {
			found = true
			continue
		}
		if out == nil {
			continue
		}
		if err := out.Log(in.Record()); err != nil {
			return found, nil, err
		}
	}
	var unreadable *fs.PathError
	if errors.As(in.Err(), &unreadable) {
		return found, nil, fmt.Errorf("store: log of late samples: %w", unreadable) // the disk's fault: what it holds may be good
	}
	return found, in.Err(), nil
}
