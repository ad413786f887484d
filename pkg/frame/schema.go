package frame

import "fmt"

// Schema names the columns of a stream: its parts one after the other.
type Schema struct{ Parts []PartID }

// schemaVersion is the first byte of an encoded schema.
const schemaVersion = 0x01

// ID is the id of the encoded schema.
func (s Schema) ID() SchemaID { return digest(AppendSchema(nil, s)) }

// AppendSchema appends the encoded schema to dst. A schema of no parts, of
// more than MaxParts or with one part twice is written as it is, and refused by
// ParseSchema.
func AppendSchema(dst []byte, s Schema) []byte {
	dst = append(dst, schemaVersion)
	dst = appendVarint(dst, uint64(len(s.Parts)))
	for _, id := range s.Parts {
		dst = append(dst, id[:]...)
	}
	return dst
}

// ParseSchema is the inverse of AppendSchema. It accepts exactly one encoding
// of a schema, so that equal schemas have equal ids.
func ParseSchema(b []byte) (Schema, error) {
	r := reader{b: b}
	if version := r.byte(); r.err == nil && version != schemaVersion {
		return Schema{}, fmt.Errorf("schema: first byte %#x: %w", version, ErrVersion)
	}
	n := r.count(MaxParts, len(PartID{}))
	if r.err == nil && n == 0 {
		return Schema{}, fmt.Errorf("schema of no parts: %w", ErrInvalid)
	}
	s := Schema{Parts: make([]PartID, 0, n)}
	seen := make(map[PartID]struct{}, n)
	for range n {
		id := PartID(r.bytes(len(PartID{})))
		if _, twice := seen[id]; twice {
			return Schema{}, fmt.Errorf("schema: part %v twice: %w", id, ErrInvalid)
		}
		seen[id] = struct{}{}
		s.Parts = append(s.Parts, id)
	}
	if err := r.end(); err != nil {
		return Schema{}, fmt.Errorf("schema: %w", err)
	}
	return s, nil
}
