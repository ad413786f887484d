package durable

import "encoding/binary"

// WithPrelude makes a segment's bytes those of another version, believably.
func WithPrelude(b []byte, v uint32) []byte {
	binary.LittleEndian.PutUint32(b[8:], v)
	binary.LittleEndian.PutUint32(b[12:], checksum(b[:12]))
	return b
}
