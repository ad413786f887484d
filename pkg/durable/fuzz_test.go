package durable

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

// FuzzSegment reads any bytes as a segment: no panic, no endless loop, offsets
// that only rise, and only entries whose checksum is right.
func FuzzSegment(f *testing.F) {
	good := example()
	f.Add(good)
	f.Add(good[:len(good)-3])
	f.Add(append(bytes.Clone(good[:70]), good[60:]...))
	f.Add(append(bytes.Clone(good), make([]byte, 5000)...))
	f.Fuzz(func(t *testing.T, file []byte) {
		h, err := parseHeader(file)
		if err != nil {
			h.first = 1
		}
		for _, end := range []uint64{0, h.first + 3} {
			var w walker
			w.enter("file", h, end, bytes.NewReader(file).ReadAt)
			for steps := 0; ; steps++ {
				if steps > 2*len(file)+2 {
					t.Fatal("does not come to an end")
				}
				at, number := w.at, w.number
				found, err := w.next()
				if errors.Is(err, io.EOF) {
					break
				}
				var damage *Damage
				switch {
				case w.at < at || w.number < number && w.number != 0:
					t.Fatalf("went from %d to %d", at, w.at)
				case errors.As(err, &damage):
					if damage.Offset != at || damage.Offset+damage.Length != w.at {
						t.Fatalf("at %d, then %d: %v", at, w.at, damage)
					}
				case err != nil:
					t.Fatal(err)
				default:
					again := w.key.append(nil, found.number, found.kind, found.data)
					if !bytes.Equal(again, file[at:w.at]) {
						t.Fatalf("entry at %d: %x is written as %x", at, file[at:w.at], again)
					}
				}
			}
		}
	})
}
