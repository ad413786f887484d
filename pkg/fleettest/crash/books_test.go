package crash

import (
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// sampled is a frame that a spool took.
type sampled struct {
	boot    model.BootID
	seq     uint64
	stream  model.StreamID
	at      model.Millis
	shape   *shape
	row     []float64
	samples uint64
	taken   time.Time
	told    bool // the worker was told that it may forget it
	excused bool // the worker's machine lost it, and may
}

// shape is what a schema says of rows.
type shape struct {
	parts  []model.Part
	ids    []frame.PartID
	schema frame.Schema
	layout *frame.Layout
}

func newShape(parts []model.Part) (*shape, error) {
	s := &shape{parts: parts}
	for _, p := range parts {
		encoded, err := frame.AppendPart(nil, p)
		if err != nil {
			return nil, err
		}
		s.ids = append(s.ids, frame.PartIDOf(encoded))
	}
	s.schema = frame.Schema{Parts: s.ids}
	var err error
	s.layout, err = frame.NewLayout(parts)
	return s, err
}

// ending is how a process of a worker ended.
type ending struct {
	how   string
	at    time.Time
	since time.Time // frames taken before that are safe
}

const (
	stopped  = "stopped"
	killed   = "killed"
	powerCut = "power cut"
)

// rowKey names a row of a worker. The harness gives no two frames of a stream one time.
type rowKey struct {
	stream model.StreamID
	at     model.Millis
}

type seqKey struct {
	boot model.BootID
	seq  uint64
}

// books are what is known of a worker's frames.
type books struct {
	mu     sync.Mutex
	frames []*sampled
	byRow  map[rowKey]*sampled
	bySeq  map[seqKey]*sampled
	told   map[model.BootID][][2]uint64 // what may be forgotten
	ends   map[model.BootID]ending
	stored map[*sampled]bool // in the store's files
}

func newBooks() *books {
	return &books{byRow: map[rowKey]*sampled{}, bySeq: map[seqKey]*sampled{}, told: map[model.BootID][][2]uint64{}, ends: map[model.BootID]ending{}}
}

// Frames have even times and ends of series odd ones: of rows with one time the first one
// that is stored counts, and the store ends series of a clock that is ahead a millisecond
// after their newest row.

// free returns a time from at on that no frame of the stream has.
func (b *books) free(stream model.StreamID, at model.Millis) model.Millis {
	b.mu.Lock()
	defer b.mu.Unlock()
	for at += at & 1; b.byRow[rowKey{stream, at}] != nil; {
		at += 2
	}
	return at
}

func (b *books) take(f *sampled) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.frames = append(b.frames, f)
	b.byRow[rowKey{f.stream, f.at}] = f
	b.bySeq[seqKey{f.boot, f.seq}] = f
}

// forget notes that the worker was told that it may forget records.
func (b *books) forget(boot model.BootID, first, through uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := b.told[boot]
	for i := range list {
		if list[i][0] == first {
			list[i][1] = max(list[i][1], through)
			return
		}
	}
	b.told[boot] = append(list, [2]uint64{first, through})
}

func (b *books) settle() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, f := range b.frames {
		for _, span := range b.told[f.boot] {
			f.told = f.told || span[0] <= f.seq && f.seq <= span[1]
		}
	}
}
