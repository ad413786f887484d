package block

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// The header: magic, version, size of the header and directory, size of the block.
const (
	magic       = "clbk"
	version     = 1
	versionAt   = 4
	directoryAt = 5
	sizeAt      = 9
	headerSize  = 13
)

// span is a run of the block's rows.
type span struct{ from, to int }

// PartInfo says what a block holds of a part.
type PartInfo struct {
	ID frame.PartID
	// Columns is the number of its columns.
	Columns int
	// Rows is the number of frames that have the part: all of the block's
	// unless the schema changed.
	Rows int
	// Size is how many bytes it takes in the block.
	Size int
}

// partEntry is a part of the directory.
type partEntry struct {
	id    frame.PartID
	place place
	spans []span // of the block's rows, in order
}

// Block is a sealed block, whose directory is open. It aliases the bytes it
// was opened from and does not change: any number of goroutines may read it, each with
// a Reader of its own.
type Block struct {
	data        []byte
	worker      model.WorkerID
	stream      model.StreamID
	rows        int
	first, last model.Millis
	times       place
	parts       []partEntry // by id
	spans       []span      // of all parts, those with every row share the first
}

// Open reads the directory of a block, of which data is all. It touches no more
// than that, so data may be a mapped file. What is behind the directory is checked when it
// is read: see Reader, and Verify.
//
// The error is a Damage, or wraps ErrVersion.
func Open(data []byte) (*Block, error) {
	b := new(Block)
	if err := b.Reopen(data); err != nil {
		return nil, err
	}
	return b, nil
}

// Reopen makes b the block in data, as Open does, and uses its memory again. No Reader may
// be reading b.
func (b *Block) Reopen(data []byte) error {
	*b = Block{parts: b.parts[:0], spans: b.spans[:0]}
	directory, err := directoryOf(data)
	if err != nil {
		return err
	}
	b.data = data
	if bad := b.parse(directory); bad != "" {
		*b = Block{}
		return &Damage{SectionDirectory, -1, headerSize, bad}
	}
	return nil
}

// directoryOf checks the header and the checksum over it and the directory,
// and returns what is between.
func directoryOf(data []byte) ([]byte, error) {
	broken := func(format string, args ...any) error {
		return &Damage{SectionHeader, -1, 0, fmt.Sprintf(format, args...)}
	}
	if len(data) < headerSize || string(data[:len(magic)]) != magic {
		return nil, broken("%d bytes that do not begin like a block", len(data))
	}
	if v := data[versionAt]; v != version {
		return nil, fmt.Errorf("block of version %d, this program knows %d: %w", v, version, ErrVersion)
	}
	end, size := binary.LittleEndian.Uint32(data[directoryAt:]), binary.LittleEndian.Uint32(data[sizeAt:])
	if uint64(size) != uint64(len(data)) {
		return nil, broken("%d bytes of a block of %d", len(data), size)
	}
	if end < headerSize+checksumSize || end > size {
		return nil, broken("directory ends at byte %d of %d", end, size)
	}
	body := data[:end-checksumSize]
	if checksum(body) != binary.LittleEndian.Uint32(data[len(body):]) {
		return nil, &Damage{SectionDirectory, -1, headerSize, "checksum does not match"}
	}
	return body[headerSize:], nil
}

// The shortest encodings in bytes.
const (
	minEntry = len(frame.PartID{}) + 4
	minSpan  = 2
)

func (b *Block) parse(directory []byte) (bad string) {
	r := reader{b: directory}
	copy(b.worker[:], r.bytes(len(b.worker)))
	stream := r.varint()
	b.stream = model.StreamID(stream)
	b.rows = r.count(MaxRows, 0)
	b.first = model.Millis(r.signed())
	b.last = b.first + model.Millis(r.varint())
	if r.bad == "" && (b.rows == 0 || uint64(b.stream) != stream || b.last < b.first) {
		r.fail("%d rows of stream %d from %d to %d ms", b.rows, stream, b.first, b.last)
	}
	at := headerSize + len(directory) + checksumSize
	b.times = r.place(&at, len(b.data), 1, b.rows)
	b.spans = append(b.spans, span{0, b.rows})
	n := r.count(MaxParts, minEntry)
	b.parts = slices.Grow(b.parts, n)
	for range n {
		b.entry(&r, &at)
	}
	if r.bad == "" && at != len(b.data) {
		r.fail("sections end at byte %d of %d", at, len(b.data))
	}
	return r.end()
}

// place reads where a section is, which begins at *at.
func (r *reader) place(at *int, size, columns, rows int) place {
	p := place{at: *at, head: r.count(size-*at, 0), columns: columns, rows: rows}
	p.data = r.count(size-*at-p.head, 0)
	*at += p.head + p.data
	return p
}

func (b *Block) entry(r *reader, at *int) {
	var e partEntry
	copy(e.id[:], r.bytes(len(e.id)))
	columns := r.count(frame.MaxPartColumns, 0)
	rows := b.rows
	e.spans = b.spans[:1:1]
	if n := r.count(b.rows, minSpan); n > 0 {
		start := len(b.spans)
		rows = 0
		row := 0
		for range n {
			from := row + r.count(b.rows, 0)
			to := from + r.count(b.rows, 0)
			if r.bad == "" && (to <= from || to > b.rows) {
				r.fail("rows %d to %d of %d", from, to, b.rows)
			}
			b.spans = append(b.spans, span{from, to})
			rows += to - from
			row = to
		}
		e.spans = b.spans[start:len(b.spans):len(b.spans)]
	}
	e.place = r.place(at, len(b.data), columns, rows)
	if n := len(b.parts); r.bad == "" && n > 0 && bytes.Compare(b.parts[n-1].id[:], e.id[:]) >= 0 {
		r.fail("part %v is out of order", e.id)
	}
	if r.bad == "" && columns == 0 {
		r.fail("part %v has no columns", e.id)
	}
	if r.bad == "" {
		b.parts = append(b.parts, e)
	}
}

// Worker is whose frames the block holds.
func (b *Block) Worker() model.WorkerID { return b.worker }

// Stream is the stream that the frames are of.
func (b *Block) Stream() model.StreamID { return b.stream }

// Rows is the number of frames.
func (b *Block) Rows() int { return b.rows }

// Range gives the times of the first and the last frame.
func (b *Block) Range() (first, last model.Millis) { return b.first, b.last }

// Parts is the number of parts. They are numbered from 0 in the order of
// their ids.
func (b *Block) Parts() int { return len(b.parts) }

// Part describes a part, which is below Parts.
func (b *Block) Part(i int) PartInfo {
	e := &b.parts[i]
	return PartInfo{ID: e.id, Columns: e.place.columns, Rows: e.place.rows, Size: e.place.head + e.place.data}
}

// Find returns the number of a part, and whether the block has it.
func (b *Block) Find(id frame.PartID) (i int, ok bool) {
	return slices.BinarySearchFunc(b.parts, id, func(e partEntry, id frame.PartID) int {
		return bytes.Compare(e.id[:], id[:])
	})
}
