package block

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"slices"

	"github.com/klauspost/compress/zstd"
)

// A section is a head, which describes columns, and groups, which hold
// the bytes of those columns that have any:
//
//	head   varint groups | group entry ... | column ... | CRC-32C of the head
//	entry  varint columns | varint raw size | varint stored size | CRC-32C of what is stored
//
// What is stored is a zstd frame, or the raw bytes when both sizes are equal.
// A group holds the next so many columns of those that are not constant.
type group struct {
	columns  int
	raw      int
	stored   int
	checksum uint32
	at       int // behind the head
}

const checksumSize = 4

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }

// sectionWriter puts a section together, column by column.
type sectionWriter struct {
	zstd    *zstd.Encoder
	columns []column
	groups  []group
	raw     []byte // of the open group
	open    int    // columns in it
	packed  []byte // closed groups
}

func newSectionWriter() sectionWriter {
	// No option can fail: they are constants.
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithEncoderConcurrency(1),
		zstd.WithEncoderCRC(false), zstd.WithWindowSize(groupTarget), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(fmt.Sprintf("block: zstd: %v", err))
	}
	return sectionWriter{zstd: z}
}

func (w *sectionWriter) begin() {
	w.columns, w.groups, w.raw, w.open, w.packed = w.columns[:0], w.groups[:0], w.raw[:0], 0, w.packed[:0]
}

// add takes the next column; raw is the open group with the column's bytes.
func (w *sectionWriter) add(c column, raw []byte) {
	w.columns, w.raw = append(w.columns, c), raw
	if c.kind.constant() {
		return
	}
	if w.open++; len(w.raw) >= groupTarget {
		w.flush()
	}
}

// flush ends the open group.
func (w *sectionWriter) flush() {
	if w.open == 0 {
		return
	}
	start := len(w.packed)
	w.packed = w.zstd.EncodeAll(w.raw, w.packed)
	if len(w.packed)-start >= len(w.raw) {
		w.packed = append(w.packed[:start], w.raw...)
	}
	stored := w.packed[start:]
	w.groups = append(w.groups, group{columns: w.open, raw: len(w.raw), stored: len(stored), checksum: checksum(stored)})
	w.raw, w.open = w.raw[:0], 0
}

// head appends the head to dst.
func (w *sectionWriter) head(dst []byte) []byte {
	start := len(dst)
	dst = binary.AppendUvarint(dst, uint64(len(w.groups)))
	for _, g := range w.groups {
		dst = binary.AppendUvarint(dst, uint64(g.columns))
		dst = binary.AppendUvarint(dst, uint64(g.raw))
		dst = binary.AppendUvarint(dst, uint64(g.stored))
		dst = binary.LittleEndian.AppendUint32(dst, g.checksum)
	}
	for i := range w.columns {
		dst = w.columns[i].append(dst)
	}
	return binary.LittleEndian.AppendUint32(dst, checksum(dst[start:]))
}

// place is where a section is in a block, and how large what it holds is.
type place struct {
	at      int // of its head
	head    int // bytes
	data    int // bytes behind the head
	columns int
	rows    int
}

// sectionReader holds a section that was taken apart, and the group that was
// needed last.
type sectionReader struct {
	place   place
	columns []column
	groups  []group
	zstd    *zstd.Decoder
	held    int    // number of the group in raw, -1 for none
	raw     []byte // of that group, in the buffer
	buffer  []byte
}

func newZstdReader() (*zstd.Decoder, error) {
	return zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
		zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxMemory(maxRaw))
}

// open takes the head apart. block is the whole block, whose directory was
// checked: p is inside.
func (s *sectionReader) open(block []byte, p place) (bad string) {
	s.columns, s.groups, s.held = s.columns[:0], s.groups[:0], -1
	head := block[p.at : p.at+p.head]
	body := len(head) - checksumSize
	if body < 0 || checksum(head[:body]) != binary.LittleEndian.Uint32(head[body:]) {
		return "checksum does not match"
	}
	r := reader{b: head[:body]}
	at := 0
	for range r.count(p.columns, 3+checksumSize) {
		g := group{columns: r.count(p.columns, 0), raw: r.count(maxRaw, 0), stored: r.count(p.data, 0), checksum: r.half(), at: at}
		if g.stored > g.raw {
			r.fail("group of %d bytes stored in %d", g.raw, g.stored)
		}
		at += g.stored
		s.groups = append(s.groups, g)
	}
	if r.bad == "" && at != p.data {
		r.fail("groups of %d bytes in %d", at, p.data)
	}
	if r.bad == "" && p.columns > len(head) {
		r.fail("%d columns", p.columns)
	}
	if r.bad != "" {
		return r.bad
	}
	s.columns = slices.Grow(s.columns, p.columns)[:p.columns]
	for i := range s.columns {
		s.columns[i].parse(&r, p.rows)
	}
	if bad := r.end(); bad != "" {
		return bad
	}
	s.place = p
	return s.spread()
}

// spread assigns the columns to their groups.
func (s *sectionReader) spread() (bad string) {
	number, left, at := -1, 0, 0
	for i := range s.columns {
		c := &s.columns[i]
		if c.kind.constant() {
			continue
		}
		if left == 0 {
			if number >= 0 && at != s.groups[number].raw {
				return "columns do not fill their group"
			}
			if number++; number == len(s.groups) {
				return "more columns than groups hold"
			}
			if left, at = s.groups[number].columns, 0; left == 0 {
				return "empty group"
			}
		}
		c.group, c.at = number, at
		at += c.size(s.place.rows)
		left--
	}
	if number != len(s.groups)-1 || left != 0 || number >= 0 && at != s.groups[number].raw {
		return "columns do not fill their groups"
	}
	return ""
}

// bytesOf returns the bytes of a column, which are valid until the next call.
func (s *sectionReader) bytesOf(block []byte, c *column) (raw []byte, bad string) {
	if c.kind.constant() {
		return nil, ""
	}
	g := &s.groups[c.group]
	stored := block[s.place.at+s.place.head+g.at:][:g.stored]
	if s.held != c.group {
		s.held = -1
		if checksum(stored) != g.checksum {
			return nil, fmt.Sprintf("group %d: checksum does not match", c.group)
		}
		if bad := s.unpack(stored, g.raw); bad != "" {
			return nil, fmt.Sprintf("group %d: %s", c.group, bad)
		}
		s.held = c.group
	}
	return s.raw[c.at : c.at+c.size(s.place.rows)], ""
}

// slack is the room behind its output with which zstd decodes fastest.
const slack = 64

func (s *sectionReader) unpack(stored []byte, raw int) (bad string) {
	if cap(s.buffer) < raw+slack {
		s.buffer = make([]byte, 0, max(raw+slack, 2*cap(s.buffer)))
	}
	s.raw = s.buffer[:raw]
	if len(stored) == raw {
		copy(s.raw, stored)
		return ""
	}
	// Never beyond the capacity given here, whatever the frame says.
	out, err := s.zstd.DecodeAll(stored, s.buffer[:0:raw+slack])
	if err != nil {
		return err.Error()
	}
	if len(out) != raw {
		return fmt.Sprintf("%d bytes, want %d", len(out), raw)
	}
	s.raw = out
	return ""
}
