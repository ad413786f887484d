package journal

import (
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
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

	written [kinds]atomic.Uint64 // records, by kind
	refused atomic.Uint64

	// mu is held by who appends, also while the disk is at work. It guards what
	// follows.
	mu    sync.Mutex
	buf   []byte   // encoded records of one append
	ends  []int    // where each of them ends
	batch [][]byte // the same, one by one
}

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
	log.Viewer() // from now on it keeps in mind where records are: Replay passes all of them
	return &Journal{log: log, bound: int64(opts.MaxBytes)}, found, nil
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
	Refused  uint64 // records of workers for which there was no room within Options.MaxBytes
}

// Stats returns the figures as they are now. It does not wait for the disk.
func (j *Journal) Stats() Stats {
	s := Stats{Stats: j.log.Stats(), Refused: j.refused.Load()}
	for kind := range j.written {
		n := j.written[kind].Load()
		if Kind(kind) == KindRecord {
			s.Appended = n
		} else {
			s.Others += n
		}
	}
	return s
}

// Close syncs and lets go of the folder, whether or not that succeeds.
func (j *Journal) Close() error { return j.log.Close() }
