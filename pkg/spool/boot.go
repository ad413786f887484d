package spool

import (
	"sort"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// boot is what is known of one process of the worker and of the records that it
// made. Records are named by their sequence numbers: indexes of the log come again
// after a power cut, and numbers of a boot do not.
type boot struct {
	number uint32
	start  start
	next   uint64 // number of its next record
	// counts up to its last record: frames, and values in them.
	frames, total uint64
	newest        model.Millis // of its newest frame, 0: none

	runs []run     // of the records that are in the log
	done intervals // at the collector, or gone
	// lost are records that were counted as lost and are not to be sent. They
	// become done with those around them.
	lost intervals
	told intervals // of them those that are written down, as a start finds them
	// unread are records that cannot be read, counted or not.
	unread   intervals
	mentions []mention // rising
	lanes    map[model.StreamID]*lane
	chunks   []chunk // rising
	bytes    uint64  // of all its entries, counter
}

// run says that records follow each other in the log as their numbers do.
type run struct{ seq, index, n uint64 }

// mention is a number that was given to a part or schema.
type mention struct {
	seq    uint64
	kind   frame.Kind
	stream model.StreamID
	id     [16]byte
	// torn says that the schema cannot be given to anybody; see findTorn. The frames
	// of it are lost.
	torn bool
}

// lane is a stream as its newest frame leaves it.
type lane struct {
	schema   [16]byte
	key      uint64 // number of the key frame of its open group; 0: the next frame has to be one
	last     uint64 // number of the newest frame
	at       model.Millis
	sinceKey uint32
	group    uint64 // bytes of the open group
	mark     uint64 // boot.bytes when the newest frame came
}

// chunk is a place from which reading can start.
type chunk struct {
	seq   uint64
	at    model.Millis // of the newest frame before it, or its first one
	bytes uint64       // boot.bytes before it
	lanes []laneMark   // as they were before it
}

type laneMark struct {
	stream    model.StreamID
	sinceKey  uint32
	key, last uint64
	at        model.Millis
}

func newBoot(number uint32, s start) *boot {
	return &boot{number: number, start: s, next: 1, lanes: map[model.StreamID]*lane{}}
}

// record is one record that a boot takes note of.
type record struct {
	seq     uint64
	kind    frame.Kind
	stream  model.StreamID
	header  frame.Header // of a frame
	samples uint64
	size    int // of its entry in bytes
}

// note takes note of a record, which is the newest one.
func (b *boot) note(r record, chunkSize uint64) {
	if n := len(b.chunks); n == 0 || b.bytes-b.chunks[n-1].bytes >= chunkSize {
		b.chunks = append(b.chunks, b.chunk(r))
	}
	b.bytes += uint64(r.size)
	b.next = max(b.next, r.seq+1)
	if r.kind != frame.KindFrame {
		return
	}
	b.frames++
	b.total += r.samples
	b.newest = max(b.newest, r.header.At)
	l := b.lanes[r.stream]
	if l == nil {
		l = &lane{}
		b.lanes[r.stream] = l
	}
	if r.header.Key {
		l.key, l.group, l.schema = r.seq, 0, r.header.Schema
	}
	l.last, l.at, l.sinceKey = r.seq, r.header.At, r.header.SinceKey
	l.group += uint64(r.size)
	l.mark = b.bytes
}

func (b *boot) chunk(r record) chunk {
	c := chunk{seq: r.seq, at: b.newest, bytes: b.bytes}
	if r.kind == frame.KindFrame {
		c.at = r.header.At
	}
	for stream, l := range b.lanes {
		c.lanes = append(c.lanes, laneMark{stream, l.sinceKey, l.key, l.last, l.at})
	}
	return c
}

// follows says whether a delta frame can be decoded behind the newest frame.
func (l *lane) follows(h frame.Header) bool {
	return l.key != 0 && h.SinceKey == l.sinceKey+1 && h.Base == l.at
}

// place notes where in the log a record is.
func (b *boot) place(seq, index uint64) {
	if n := len(b.runs); n > 0 {
		last := &b.runs[n-1]
		if seq == last.seq+last.n && index == last.index+last.n {
			last.n++
			return
		}
	}
	b.runs = append(b.runs, run{seq, index, 1})
}

// runOf returns the first run that has seq or what is behind.
func (b *boot) runOf(seq uint64) int {
	return sort.Search(len(b.runs), func(i int) bool { return b.runs[i].seq+b.runs[i].n > seq })
}

// logged returns the first record from seq on that is in the log, and its index.
func (b *boot) logged(seq uint64) (first, index uint64, ok bool) {
	i := b.runOf(seq)
	if i == len(b.runs) {
		return 0, 0, false
	}
	r := b.runs[i]
	first = max(seq, r.seq)
	return first, r.index + first - r.seq, true
}

// forget takes note that the log has nothing below an index any more.
func (b *boot) forget(index uint64) {
	n := 0
	for ; n < len(b.runs) && b.runs[n].index+b.runs[n].n <= index; n++ {
	}
	b.runs = append(b.runs[:0], b.runs[n:]...)
	if len(b.runs) > 0 && b.runs[0].index < index {
		gone := index - b.runs[0].index
		b.runs[0] = run{b.runs[0].seq + gone, index, b.runs[0].n - gone}
	}
}

// tidy forgets chunks before the first record that is there, but the one that has
// it.
func (b *boot) tidy(first uint64) {
	n := b.chunkOf(first)
	if n > 0 {
		b.chunks = append(b.chunks[:0], b.chunks[n:]...)
	}
}

// chunkOf returns the last chunk that begins with seq or before, 0 if there is none.
func (b *boot) chunkOf(seq uint64) int {
	return max(0, sort.Search(len(b.chunks), func(i int) bool { return b.chunks[i].seq > seq })-1)
}

// mentionAfter returns the first mention of a number above seq.
func (b *boot) mentionAfter(seq uint64) int {
	return sort.Search(len(b.mentions), func(i int) bool { return b.mentions[i].seq > seq })
}

// schemaAt returns the schema that a stream has at a number, and since which one.
func (b *boot) schemaAt(stream model.StreamID, seq uint64) (id frame.SchemaID, since uint64, ok bool) {
	for i := b.mentionAfter(seq) - 1; i >= 0; i-- {
		if m := b.mentions[i]; m.kind == frame.KindSchema && m.stream == stream {
			return m.id, m.seq, !m.torn
		}
	}
	return id, 0, false
}

// first returns the lowest number that is not done, b.next if there is none.
func (b *boot) first() uint64 { return min(b.done.past(1), b.next) }

// size is about how many bytes the records of an interval take.
func (b *boot) size(from, to uint64) uint64 { return b.position(to+1) - b.position(from) }

// position is about what boot.bytes was before a record.
func (b *boot) position(seq uint64) uint64 {
	if len(b.chunks) == 0 || seq <= b.chunks[0].seq {
		return b.bytes - min(b.bytes, b.held())
	}
	i := b.chunkOf(seq)
	begin, end := b.chunks[i], chunk{seq: b.next, bytes: b.bytes}
	if i+1 < len(b.chunks) {
		end = b.chunks[i+1]
	}
	if end.seq <= begin.seq || seq >= end.seq {
		return end.bytes
	}
	return begin.bytes + (end.bytes-begin.bytes)*(seq-begin.seq)/(end.seq-begin.seq)
}

func (b *boot) held() uint64 {
	if len(b.chunks) == 0 {
		return 0
	}
	return b.bytes - b.chunks[0].bytes
}
