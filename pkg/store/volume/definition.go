package volume

import (
	"encoding/binary"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Span says that a lane had a schema from one time to another, both included; in
// between it may have had none.
type Span struct {
	Key
	Schema   frame.SchemaID
	From, To model.Millis
}

// Visitor takes definitions. What is nil is passed over. When one of the functions
// fails, nothing more is visited, and its error is returned.
type Visitor struct {
	Part   func(encoded []byte) error // aliases the file
	Schema func(encoded []byte) error // aliases the file
	Source func(worker model.WorkerID, hostLabels []labels.Label) error
	Span   func(Span) error
}

// wants says whether the visitor takes definitions of that kind.
func (v *Visitor) wants(k kind) bool {
	switch k {
	case kindParts:
		return v.Part != nil
	case kindSchemas:
		return v.Schema != nil
	case kindSources:
		return v.Source != nil
	}
	return v.Span != nil
}

func appendText(dst []byte, text string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

// appendLabels is the canonical encoding of host labels, which are sorted.
func appendLabels(dst []byte, hostLabels []labels.Label) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(hostLabels)))
	for _, l := range hostLabels {
		dst = appendText(appendText(dst, l.Name), l.Value)
	}
	return dst
}

// appendEncoded appends a part or a schema.
func appendEncoded(dst, encoded []byte) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(encoded))), encoded...)
}

func appendSource(dst []byte, worker model.WorkerID, hostLabels []labels.Label) []byte {
	return appendLabels(append(dst, worker[:]...), hostLabels)
}

func appendSpan(dst []byte, s Span) []byte {
	dst = append(appendKey(dst, s.Key), s.Schema[:]...)
	dst = binary.AppendVarint(dst, int64(s.From))
	return binary.AppendUvarint(dst, uint64(s.To-s.From))
}

// visit reads the definitions of an item, which are count, and of one kind.
// bad says what is wrong with them.
func (v *Visitor) visit(k kind, count uint32, b []byte) (bad string, err error) {
	r := reader{b: b}
	for i := range count {
		at := r.at
		switch k {
		case kindParts, kindSchemas:
			encoded := r.bytes(r.uvarint())
			if r.bad {
				break
			}
			if k == kindParts {
				err = v.Part(encoded)
			} else {
				err = v.Schema(encoded)
			}
		case kindSources:
			worker, hostLabels := r.source()
			if !r.bad {
				err = v.Source(worker, hostLabels)
			}
		default:
			if span := r.span(); !r.bad {
				err = v.Span(span)
			}
		}
		if r.bad {
			return fmt.Sprintf("definition %d of %d, at byte %d of them, is not to be read", i+1, count, at), nil
		}
		if err != nil {
			return "", err
		}
	}
	if r.at != len(b) {
		return fmt.Sprintf("%d bytes behind the last definition", len(b)-r.at), nil
	}
	return "", nil
}

// reader takes definitions apart. After the first error it is bad, and gives zeros.
type reader struct {
	b   []byte
	at  int
	bad bool
}

func (r *reader) uvarint() uint64 {
	if r.bad {
		return 0
	}
	u, n := binary.Uvarint(r.b[r.at:])
	if n <= 0 || n > 1 && r.b[r.at+n-1] == 0 { // cut off, too long, or not the shortest
		r.bad = true
		return 0
	}
	r.at += n
	return u
}

// bytes gives the next n bytes, nil when they are not there.
func (r *reader) bytes(n uint64) []byte {
	if r.bad || n > uint64(len(r.b)-r.at) {
		r.bad = true
		return nil
	}
	r.at += int(n)
	return r.b[r.at-int(n) : r.at : r.at]
}

func (r *reader) text(most uint64) string {
	n := r.uvarint()
	r.bad = r.bad || n > most
	return string(r.bytes(n))
}

func (r *reader) source() (worker model.WorkerID, hostLabels []labels.Label) {
	copy(worker[:], r.bytes(uint64(len(worker))))
	n := r.uvarint()
	if r.bad = r.bad || n > frame.MaxLabels; r.bad {
		return worker, nil
	}
	hostLabels = make([]labels.Label, 0, n)
	for range n {
		l := labels.Label{Name: r.text(frame.MaxName), Value: r.text(frame.MaxValue)}
		if m := len(hostLabels); m > 0 && hostLabels[m-1].Name >= l.Name {
			r.bad = true
		}
		hostLabels = append(hostLabels, l)
	}
	return worker, hostLabels
}

func (r *reader) span() (s Span) {
	if b := r.bytes(keySize); b != nil {
		s.Key = parseKey(b)
	}
	copy(s.Schema[:], r.bytes(uint64(len(s.Schema))))
	from := r.uvarint()
	s.From = model.Millis(int64(from>>1) ^ -int64(from&1))
	s.To = s.From + model.Millis(r.uvarint())
	r.bad = r.bad || s.To < s.From
	return s
}
