package volume

import (
	"cmp"
	"encoding/binary"
	"iter"
	"slices"
)

// index is what comes behind the items: pages of heads, the table, and the footer.
type index struct {
	entries []Entry
	chunks  []chunk
	table   []byte // complete after pages
	footer  footer // its checksum of the table too
}

// newIndex makes the index of at least one entry. It sorts what it is given.
func newIndex(id identity, at int64, entries []Entry, chunks []chunk) *index {
	slices.SortFunc(entries, func(a, b Entry) int { return a.order(&b) })
	// Parts first, then what is made of them: in the order in which they are needed.
	slices.SortFunc(chunks, chunk.order)
	x := &index{entries: entries, chunks: chunks}
	x.footer = footer{identity: id, entries: uint32(len(entries)), chunks: uint32(len(chunks)), index: at}
	f := &x.footer
	f.first, f.last = entries[0].First, entries[0].Last
	for i := range entries {
		e := &entries[i]
		f.first, f.last, f.rows = min(f.first, e.First), max(f.last, e.Last), f.rows+uint64(e.Rows)
	}
	return x
}

// pages encodes the pages, each valid until the next one. Afterwards table and footer are complete.
func (x *index) pages() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		var page []byte
		for entries := range slices.Chunk(x.entries, perPage) {
			page = page[:0]
			for i := range entries {
				page = appendHead(page, &entries[i], kindBlock)
			}
			x.table = append(x.table, page[:keySize]...)
			x.table = binary.LittleEndian.AppendUint64(x.table, uint64(firstOf(page)))
			x.table = binary.LittleEndian.AppendUint32(x.table, checksum(page))
			if !yield(page) {
				return
			}
		}
		for _, c := range x.chunks {
			x.table = appendChunk(x.table, c)
		}
		x.footer.table = checksum(x.table)
	}
}

// chunk is an item of definitions.
type chunk struct {
	kind   kind
	offset int64 // behind the head
	size   uint32
}

func (c chunk) order(other chunk) int {
	return cmp.Or(cmp.Compare(c.kind, other.kind), cmp.Compare(c.offset, other.offset))
}

// appendChunk appends what the table says of an item of definitions.
func appendChunk(dst []byte, c chunk) []byte {
	dst = binary.LittleEndian.AppendUint32(dst, uint32(c.offset))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(c.offset>>32))
	dst = binary.LittleEndian.AppendUint32(dst, c.size)
	return append(dst, byte(c.kind), 0)
}

func parseChunk(b []byte) chunk {
	return chunk{
		offset: int64(binary.LittleEndian.Uint32(b)) | int64(binary.LittleEndian.Uint16(b[4:]))<<32,
		size:   binary.LittleEndian.Uint32(b[6:]),
		kind:   kind(b[10]),
	}
}
