package schemas

import (
	"hash/maphash"
	"sync"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
)

// Dictionary is the whole of it; see the package comment.
type Dictionary struct {
	config Config
	seed   maphash.Seed

	// writing serialises all changes; before mu. It guards what only changes look at.
	writing sync.Mutex
	sets    map[uint64]*set  // by hash, chained
	lists   map[uint64]*list // by hash, chained
	numbers map[uint32]*Source
	last    uint32 // number given out last
	bytes   int64  // about how much memory all of it takes
	spans   int

	// mu guards the rest: the maps, and the growing lists of all that is
	// reached from them. Whoever holds writing may read them without mu.
	mu      sync.RWMutex
	parts   map[frame.PartID]*Part
	schemas map[frame.SchemaID]*schema
	metrics map[string]*metric
	allM    []*metric // all metrics; only grows, or is replaced
	names   map[string]*labelName
	shapes  []*shape
	hosts   map[uint64]*host // by hash of labels, chained
	sources map[sourceKey]*Source
}

// New makes an empty dictionary. The configuration must be valid.
func New(config Config) *Dictionary {
	return &Dictionary{
		config:  config,
		seed:    maphash.MakeSeed(),
		sets:    map[uint64]*set{},
		lists:   map[uint64]*list{},
		numbers: map[uint32]*Source{},
		parts:   map[frame.PartID]*Part{},
		schemas: map[frame.SchemaID]*schema{},
		metrics: map[string]*metric{},
		names:   map[string]*labelName{},
		hosts:   map[uint64]*host{},
		sources: map[sourceKey]*Source{},
	}
}

// lockedEvery is how many small steps are taken under one lock.
const lockedEvery = 256

// changing runs step for 0 to n-1 with mu held for writing, and lets readers in
// now and then.
func (d *Dictionary) changing(n int, step func(i int)) {
	for from := 0; from < n; from += lockedEvery {
		d.mu.Lock()
		for i := from; i < min(n, from+lockedEvery); i++ {
			step(i)
		}
		d.mu.Unlock()
	}
}

// capture takes the present slice of each of things. What it returns may be
// walked without a lock.
func capture[T, S any](d *Dictionary, things []*T, of func(*T) []S) [][]S {
	all := make([][]S, len(things))
	for from := 0; from < len(things); from += lockedEvery {
		d.mu.RLock()
		for i := from; i < min(len(things), from+lockedEvery); i++ {
			all[i] = of(things[i])
		}
		d.mu.RUnlock()
	}
	return all
}

// Stats says how much there is.
type Stats struct {
	Parts, Schemas, Sources, Spans int
	// Lists and Sets of labels, and Metrics: what parts share.
	Lists, Sets, Metrics int
	// Bytes is about how much memory all of it takes.
	Bytes int64
}

// Stats counts. It waits for a change that is under way.
func (d *Dictionary) Stats() Stats {
	d.writing.Lock()
	defer d.writing.Unlock()
	s := Stats{Parts: len(d.parts), Schemas: len(d.schemas), Sources: len(d.sources),
		Spans: d.spans, Metrics: len(d.metrics), Bytes: d.bytes}
	for _, first := range d.lists {
		for l := first; l != nil; l = l.next {
			s.Lists++
		}
	}
	for _, first := range d.sets {
		for l := first; l != nil; l = l.next {
			s.Sets++
		}
	}
	return s
}
