// Package canon writes the bytes that are signed: a domain that says what kind
// of statement it is, and its fields in a fixed order, each with its length in
// front. Two different statements never have the same bytes, and a signature
// under one domain is worth nothing under another.
//
//	domain | 00 | field | field | ...
//	field   length (4 bytes, big endian) | bytes
//
// Numbers are fields of eight bytes, big endian. No domain contains a zero
// byte, and none begins like a DER sequence (30), so that a certificate to be
// signed is never such a statement.
package canon

import "encoding/binary"

// Bytes is a statement being written.
type Bytes []byte

// New begins a statement.
func New(domain string) Bytes { return append(Bytes(domain), 0) }

// Raw appends a field of bytes.
func (b Bytes) Raw(field []byte) Bytes {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(field))), field...)
}

// Text appends a field of text.
func (b Bytes) Text(field string) Bytes {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(field))), field...)
}

// Int appends a number.
func (b Bytes) Int(n int64) Bytes {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint32(b, 8), uint64(n))
}
