package frame

import (
	"crypto/sha256"
	"encoding/hex"
)

// PartID names a part by its content: the first 16 bytes of the SHA-256 of its
// encoding. Equal parts have equal ids wherever they were made.
type PartID [16]byte

// PartIDOf returns the id of an encoded part.
func PartIDOf(encoded []byte) PartID { return digest(encoded) }

// String gives 32 hexadecimal digits.
func (id PartID) String() string { return hex.EncodeToString(id[:]) }

// SchemaID names a schema by its content, as PartID does a part.
type SchemaID [16]byte

// String gives 32 hexadecimal digits.
func (id SchemaID) String() string { return hex.EncodeToString(id[:]) }

func digest(b []byte) [16]byte {
	sum := sha256.Sum256(b)
	return [16]byte(sum[:16])
}
