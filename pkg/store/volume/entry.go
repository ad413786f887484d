package volume

import (
	"cmp"
	"encoding/binary"
	"hash/crc32"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Entry says what is where in a volume: a block of a lane.
type Entry struct {
	Key
	// First and Last are the times for which the block is to be found: those of its
	// first and last row, or a wider range.
	First, Last model.Millis
	Rows        uint32
	// Offset and Size are where the block is in the file, in bytes. Size 0: there
	// is no block, the entry says by its flags that something was at that time.
	Offset int64
	Size   uint32
	// Flags are the store's; the volume keeps them.
	Flags uint8
}

// order is that of the index.
func (e *Entry) order(other *Entry) int {
	return cmp.Or(e.Key.Compare(other.Key), cmp.Compare(e.First, other.First), cmp.Compare(e.Offset, other.Offset))
}

// kind says what an item is.
type kind uint8

const (
	kindBlock   kind = 1
	kindParts   kind = 2
	kindSchemas kind = 3
	kindSources kind = 4
	kindSpans   kind = 5
	kindEnd     kind = 6 // no more items
)

// definitions says whether the item holds definitions.
func (k kind) definitions() bool { return k >= kindParts && k <= kindSpans }

const (
	headSize  = 64
	maxOffset = 1 << 48
)

// appendHead appends an entry as it stands in front of its item and in the index.
func appendHead(dst []byte, e *Entry, k kind) []byte {
	start := len(dst)
	dst = appendKey(dst, e.Key)
	dst = binary.LittleEndian.AppendUint32(dst, e.Rows)
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.First))
	dst = binary.LittleEndian.AppendUint64(dst, uint64(e.Last))
	dst = binary.LittleEndian.AppendUint32(dst, uint32(e.Offset))
	dst = binary.LittleEndian.AppendUint16(dst, uint16(e.Offset>>32))
	dst = binary.LittleEndian.AppendUint32(dst, e.Size)
	dst = append(dst, e.Flags, byte(k))
	return binary.LittleEndian.AppendUint32(dst, checksum(dst[start:]))
}

// parseHead reads a head; ok is false when its checksum does not fit. b has
// headSize bytes or more.
func parseHead(b []byte) (e Entry, k kind, ok bool) {
	b = b[:headSize]
	if checksum(b[:headSize-4]) != binary.LittleEndian.Uint32(b[headSize-4:]) {
		return Entry{}, 0, false
	}
	return Entry{
		Key:    parseKey(b),
		Rows:   binary.LittleEndian.Uint32(b[28:]),
		First:  firstOf(b),
		Last:   lastOf(b),
		Offset: int64(binary.LittleEndian.Uint32(b[48:])) | int64(binary.LittleEndian.Uint16(b[52:]))<<32,
		Size:   binary.LittleEndian.Uint32(b[54:]),
		Flags:  b[58],
	}, kind(b[59]), true
}

// firstOf and lastOf read the times of an encoded head.
func firstOf(b []byte) model.Millis { return model.Millis(binary.LittleEndian.Uint64(b[32:])) }
func lastOf(b []byte) model.Millis  { return model.Millis(binary.LittleEndian.Uint64(b[40:])) }

// end is where the item behind this one begins.
func (e *Entry) end() int64 { return e.Offset + int64(e.Size) }

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
