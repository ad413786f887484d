package volume

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// tableChunks reads from the table where definitions are.
func (f *File) tableChunks() []chunk {
	var chunks []chunk
	err := Guard(func() error {
		for b := f.table[f.footer.pages()*pageEntry:]; len(b) >= chunkHead; b = b[chunkHead:] {
			chunks = append(chunks, parseChunk(b))
		}
		return nil
	})
	if err != nil {
		return nil // walking finds them
	}
	return chunks
}

// Definitions visits what blocks need to be understood: all parts first, then schemas,
// sources and spans. When the visitor fails, its error is returned; otherwise every
// *Damage that has cost definitions, joined. The visitor is under Guard.
func (f *File) Definitions(v Visitor) error {
	var lost []error
	var chunks []chunk
	if made := f.made.Load(); made != nil {
		chunks = made.chunks
		lost = append(lost, made.err())
	} else {
		chunks = f.tableChunks()
	}
	for _, c := range chunks {
		if !c.kind.definitions() || !v.wants(c.kind) {
			continue
		}
		bad, err := f.chunk(c, v)
		if err != nil {
			return err
		}
		if bad != "" {
			lost = append(lost, f.damage(c.offset, int64(c.size), "definitions: "+bad))
		}
	}
	return errors.Join(lost...)
}

// chunk visits the definitions of an item. bad says what is wrong with it.
func (f *File) chunk(c chunk, v Visitor) (bad string, err error) {
	size := int64(len(f.data))
	if c.offset < headerSize+headSize || c.size < sumSize || c.offset+int64(c.size) > size {
		return fmt.Sprintf("%d bytes of a file of %d", c.size, size), nil
	}
	err = Guard(func() error {
		head, k, ok := parseHead(f.data[c.offset-headSize:])
		body := f.data[c.offset : c.offset+int64(c.size)-sumSize]
		switch {
		case !ok || k != c.kind || head.Offset != c.offset || head.Size != c.size:
			bad = "head does not fit"
		case checksum(body) != binary.LittleEndian.Uint32(f.data[c.offset+int64(len(body)):]):
			bad = "checksum does not match"
		default:
			bad, err = v.visit(k, head.Rows, body)
		}
		return err
	})
	var fault *Fault
	if errors.As(err, &fault) {
		return err.Error(), nil
	}
	return bad, err
}
