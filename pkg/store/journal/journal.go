package journal

import (
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Options bound a journal. Fields that are zero have the defaults of
// durable.Options.
type Options struct {
	// SegmentBytes is the size of a segment, the piece in which old records go.
	SegmentBytes model.Bytes
	// MaxBytes is the size from which on Records is refused with durable.ErrFull;
	// everything else, which a pass needs to make room, is taken. 0: no bound.
	MaxBytes model.Bytes
	// Buffer is how many bytes wait to be written together; MaxUnsynced is how many
	// may wait for a Sync.
	Buffer, MaxUnsynced model.Bytes

	FS     durable.FS
	Now    func() time.Time
	Random io.Reader
}

// Journal is an open journal. All methods may be called at once.
type Journal struct {
	log   *durable.Log
	bound int64 // 0: none

	mu      sync.Mutex
	buf     []byte   // encoded records of one append
	batch   [][]byte // the same, one by one
	ends    []int
	written [kinds]uint64
	refused uint64
}

// keepBuffer is how much of the buffer for appends stays between them, in bytes.
const keepBuffer = 1 << 20

// Open opens or makes the journal in a folder, which has no other use. It repairs
// what a crash has left and reports that, as durable.Open does. What is
// damaged further in front, Replay finds.
func Open(dir string, opts Options) (*Journal, []*durable.Damage, error) {
	log, found, err := durable.Open(dir, durable.Options{
		SegmentBytes: opts.SegmentBytes, Buffer: opts.Buffer, MaxUnsynced: opts.MaxUnsynced,
		FS: opts.FS, Now: opts.Now, Random: opts.Random,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("journal: %w", err)
	}
	return &Journal{log: log, bound: int64(opts.MaxBytes)}, found, nil
}

// Session says whose the records of a session are. The number is the caller's; it
// is never used for another session while records of this one are there.
func (j *Journal) Session(number uint64, s Session) (index uint64, err error) {
	return j.append(Entry{Kind: KindSession, Session: number, Worker: s.Worker, Boot: s.Boot, Source: s.Source, Backfill: s.Backfill})
}

// Records appends encoded records of package frame as they came, all or none, and
// returns the index of the first; the others follow.
func (j *Journal) Records(session uint64, raw ...[]byte) (first uint64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.roomLocked(raw); err != nil {
		return 0, err
	}
	j.beginLocked()
	for _, record := range raw {
		if err := j.addLocked(Entry{Kind: KindRecord, Session: session, Raw: record}); err != nil {
			return 0, err
		}
	}
	first, err = j.commitLocked()
	if err == nil {
		j.written[KindRecord] += uint64(len(raw))
	}
	return first, err
}

// Base says where the decoder of a session's stream stands before the stream's next
// frame. state is what frame.Decoder.AppendState gives.
func (j *Journal) Base(session uint64, stream model.StreamID, schema frame.SchemaID, state []byte) (index uint64, err error) {
	return j.append(Entry{Kind: KindBase, Session: session, Stream: stream, Schema: schema, State: state})
}

// Coverage says which records of a worker's boot are durable, all that are before
// this one in the journal included. The error wraps ErrIntervals if they do not rise.
func (j *Journal) Coverage(c Coverage) (index uint64, err error) {
	return j.append(Entry{Kind: KindCoverage, Worker: c.Worker, Boot: c.Boot, Heard: c.Heard, Intervals: c.Intervals})
}

// End says that all series of a source ended at that time: every lane of it gets
// an end row.
func (j *Journal) End(source uint32, at model.Millis) (index uint64, err error) {
	return j.append(Entry{Kind: KindEnd, Source: source, At: at})
}

// Sealed says that the frames of a lane before this record are in a volume, if that
// volume is there.
func (j *Journal) Sealed(volume uint64, source uint32, stream model.StreamID) (index uint64, err error) {
	return j.append(Entry{Kind: KindSealed, Volume: volume, Source: source, Stream: stream})
}

// Passed says that sequence numbers of a session, both ends included, count as
// received without a record: refused, or not wanted.
func (j *Journal) Passed(session uint64, from, to uint64) (index uint64, err error) {
	return j.append(Entry{Kind: KindPassed, Session: session, From: from, To: to})
}

func (j *Journal) append(e Entry) (index uint64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.beginLocked()
	if err := j.addLocked(e); err != nil {
		return 0, err
	}
	index, err = j.commitLocked()
	if err == nil {
		j.written[e.Kind]++
	}
	return index, err
}

func (j *Journal) beginLocked() {
	if cap(j.buf) > keepBuffer {
		j.buf = nil
	}
	j.buf, j.ends = j.buf[:0], j.ends[:0]
}

func (j *Journal) addLocked(e Entry) (err error) {
	if j.buf, err = AppendEntry(j.buf, e); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	j.ends = append(j.ends, len(j.buf))
	return nil
}

func (j *Journal) commitLocked() (first uint64, err error) {
	j.batch = j.batch[:0]
	start := 0
	for _, end := range j.ends {
		j.batch = append(j.batch, j.buf[start:end])
		start = end
	}
	if first, err = j.log.Append(j.batch...); err != nil {
		return 0, fmt.Errorf("journal: %w", err)
	}
	return first, nil
}

// roomLocked checks the bound. The log cannot: what is in it must not be dropped,
// because it was acknowledged.
func (j *Journal) roomLocked(raw [][]byte) error {
	if j.bound == 0 {
		return nil
	}
	size := int64(0)
	for _, record := range raw {
		size += int64(len(record))
	}
	if has := j.log.Size(); has+size > j.bound {
		j.refused += uint64(len(raw))
		return fmt.Errorf("journal has %v, at most %v: %w", model.Bytes(has), model.Bytes(j.bound), durable.ErrFull)
	}
	return nil
}

// Sync returns when everything that was appended before the call is on disk; see
// durable.Log.Sync.
func (j *Journal) Sync() error { return j.log.Sync() }

// Next is the index that the next record will have. The first one ever has 1.
func (j *Journal) Next() uint64 { return j.log.Next() }

// Oldest is the index of the oldest record that is there, or Next.
func (j *Journal) Oldest() uint64 { return j.log.Oldest() }

// Synced is the index of the first record that may not be on disk.
func (j *Journal) Synced() uint64 { return j.log.Synced() }

// Rotate syncs and begins a new segment, so that DropThrough can take everything
// before.
func (j *Journal) Rotate() error { return j.log.Rotate() }

// DropThrough removes the segments all of whose records have an index up to that.
// The last segment stays.
func (j *Journal) DropThrough(index uint64) error { return j.log.DropThrough(index) }

// Stats are figures of a journal.
type Stats struct {
	durable.Stats
	// Since the journal was opened:
	Appended uint64 // records of workers
	Others   uint64 // records of other kinds
	Refused  uint64 // records of workers for which there was no room (Options.MaxBytes)
}

// Stats returns the figures as they are now.
func (j *Journal) Stats() Stats {
	s := Stats{Stats: j.log.Stats()}
	j.mu.Lock()
	defer j.mu.Unlock()
	for kind, n := range j.written {
		if Kind(kind) == KindRecord {
			s.Appended = n
		} else {
			s.Others += n
		}
	}
	s.Refused = j.refused
	return s
}

// Close syncs and lets go of the folder, whether or not that succeeds.
func (j *Journal) Close() error { return j.log.Close() }

// Replay goes over all records, the oldest first. What Raw, State and Intervals
// of an entry refer to is valid during the call. damaged is told of what cannot be
// read, and Replay goes on behind. It ends with the first error of visit, or of
// the disk, or with ErrVersion.
func (j *Journal) Replay(visit func(index uint64, e Entry) error, damaged func(*durable.Damage)) error {
	r := j.log.Read(0)
	defer r.Close()
	for {
		for r.Next() {
			record := r.Record()
			e, err := ParseEntry(record.Data)
			switch {
			case errors.Is(err, ErrVersion):
				return fmt.Errorf("journal: record %d at %v: %w", record.Index, record.At, err)
			case err != nil:
				damaged(j.log.Damaged(record, err.Error()))
				continue
			}
			if err := visit(record.Index, e); err != nil {
				return err
			}
		}
		var damage *durable.Damage
		if !errors.As(r.Err(), &damage) {
			return r.Err()
		}
		damaged(damage)
		r.Resume()
	}
}
