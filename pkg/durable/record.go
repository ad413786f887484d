package durable

import (
	"encoding/binary"
	"hash/crc32"
)

// MaxRecord is the most bytes that one record can have.
const MaxRecord = 4 << 20

// headSize is what a record costs besides its bytes.
const headSize = 12

// maxLength is the part of an entry's first four bytes that is its length.
const maxLength = 1<<24 - 1

// kind says what an entry of a segment is.
type kind byte

const (
	// kindRecord is a record.
	kindRecord kind = 0
	// kindSure is a record as well. Everything before it in the segment was on
	// disk when it was written.
	kindSure kind = 1
	// kindMark is no record and takes no number. Its bytes are the number,
	// 4 bytes, up to which records were on disk when it was written.
	kindMark kind = 2

	markSize = headSize + 4
)

// key makes the checksums of one segment. It comes from the segment's salt, which
// nobody outside knows: bytes that look like an entry, because somebody put
// them into a record or because they are left from another file, do not fit.
type key uint32

func newKey(salt [8]byte) key { return key(checksum(salt[:])) }

// check covers the first four bytes of an entry's head.
func (k key) check(head []byte) uint32 { return crc32.Update(uint32(k), table(), head[:4]) }

// append appends an entry. number is that of the record in the segment, from 0,
// or for a mark that of the next record.
func (k key) append(dst []byte, number uint32, what kind, data []byte) []byte {
	start := len(dst)
	dst = binary.LittleEndian.AppendUint32(dst, uint32(len(data))|uint32(what)<<24)
	numbered := k.check(dst[start:]) ^ number
	dst = binary.LittleEndian.AppendUint32(dst, numbered)
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Update(numbered, table(), data))
	return append(dst, data...)
}

// appendMark appends a mark: the records below sure are on disk.
func (k key) appendMark(dst []byte, number, sure uint32) []byte {
	return k.append(dst, number, kindMark, binary.LittleEndian.AppendUint32(nil, sure))
}

// head is the beginning of an entry, as read.
type head struct {
	length int
	kind   kind
	number uint32
}

// parseHead reads the head at the beginning of b, which has headSize bytes at
// least. Without knowing which number is to be expected nothing can be said about
// one that is ok but that it is possible.
func (k key) parseHead(b []byte) (h head, ok bool) {
	first := binary.LittleEndian.Uint32(b)
	h = head{length: int(first & maxLength), kind: kind(first >> 24)}
	if h.length > MaxRecord || h.kind > kindMark || h.kind == kindMark && h.length != markSize-headSize {
		return head{}, false
	}
	h.number = k.check(b) ^ binary.LittleEndian.Uint32(b[4:])
	return h, true
}

// whole reports whether b, an entry of a possible head and as long as it says,
// is unharmed.
func whole(b []byte) bool {
	numbered, sum := binary.LittleEndian.Uint32(b[4:]), binary.LittleEndian.Uint32(b[8:])
	return crc32.Update(numbered, table(), b[headSize:]) == sum
}

// markOf returns what a mark says.
func markOf(data []byte) uint32 { return binary.LittleEndian.Uint32(data) }

// checksum is the CRC-32C, which processors compute.
func checksum(b []byte) uint32 { return crc32.Checksum(b, table()) }

func table() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }
