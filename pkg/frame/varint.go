package frame

import (
	"encoding/binary"
	"math/bits"
)

// maxVarint is the longest varint in bytes.
const maxVarint = 9

// putVarint writes u at buf[at:] and returns the position after it. It may
// scribble over the maxVarint bytes from at on, which buf must hold.
func putVarint(buf []byte, at int, u uint64) int {
	more := varintMore(u)
	if more >= maxVarint-1 {
		buf[at] = 0
		binary.LittleEndian.PutUint64(buf[at+1:], u)
		return at + maxVarint
	}
	binary.LittleEndian.PutUint64(buf[at:], (u<<1|1)<<more)
	return at + more + 1
}

// varintMore is the number of bytes that follow the first one of u's varint;
// maxVarint-1 or more stand for the long form.
func varintMore(u uint64) int {
	return (bits.Len64(u|1) - 1) * 37 >> 8 // x/7 for x below 64
}

// varintSize is the length of u's varint in bytes.
func varintSize(u uint64) int { return min(varintMore(u)+1, maxVarint) }

// appendVarint appends u to dst.
func appendVarint(dst []byte, u uint64) []byte {
	var word [maxVarint]byte
	return append(dst, word[:putVarint(word[:], 0, u)]...)
}

// getVarint reads the varint at b[at:] and returns the position after it. A
// position beyond len(b) means that the varint is cut off; u is then
// meaningless.
func getVarint(b []byte, at int) (u uint64, next int) {
	if uint(at)+8 > uint(len(b)) {
		return tailVarint(b, at)
	}
	word := binary.LittleEndian.Uint64(b[at : at+8])
	more := bits.TrailingZeros8(uint8(word))
	if more == 8 {
		return longVarint(b, at)
	}
	return shortVarint(word, more), at + more + 1
}

// shortVarint takes the value out of a varint's bytes when more of them, at
// most seven, follow the first.
func shortVarint(word uint64, more int) uint64 {
	return word << (uint(56-8*more) & 63) >> (uint(57-7*more) & 63)
}

// longVarint reads the nine byte form.
func longVarint(b []byte, at int) (u uint64, next int) {
	if at+maxVarint > len(b) {
		return 0, at + maxVarint
	}
	return binary.LittleEndian.Uint64(b[at+1:]), at + maxVarint
}

// tailVarint is getVarint where fewer than eight bytes are left.
func tailVarint(b []byte, at int) (u uint64, next int) {
	if at >= len(b) {
		return 0, at + 1
	}
	var word [8]byte
	copy(word[:], b[at:])
	more := bits.TrailingZeros8(word[0])
	if at+more+1 > len(b) {
		return 0, at + more + 1
	}
	return shortVarint(binary.LittleEndian.Uint64(word[:]), more), at + more + 1
}

// zigzag maps small integers of either sign to small unsigned ones:
// 0, -1, 1, -2, 2 to 0, 1, 2, 3, 4.
func zigzag(d int64) uint64 { return uint64(d)<<1 ^ uint64(d>>63) }

// unzigzag is the inverse of zigzag.
func unzigzag(u uint64) int64 { return int64(u>>1) ^ -int64(u&1) }
