package frame

import (
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// partVersion is the first byte of an encoded part.
const partVersion = 0x01

// AppendPart appends the encoded part to dst. It fails with ErrInvalid or
// ErrLimit when the part breaks a rule of this
// package, and then returns dst as it was.
func AppendPart(dst []byte, p model.Part) ([]byte, error) {
	if err := checkPart(&p); err != nil {
		return dst, fmt.Errorf("encode part: %w", err)
	}
	w := textWriter{dst: append(dst, partVersion), numbers: map[string]int{}}
	w.text(p.Collector)
	w.number(len(p.Families))
	for i := range p.Families {
		family := &p.Families[i]
		w.text(family.Name)
		w.text(family.Help)
		w.dst = append(w.dst, byte(family.Type), family.Scale)
		w.number(len(family.Series))
		for _, labels := range family.Series {
			w.number(len(labels))
			for _, label := range labels {
				w.text(label.Name)
				w.text(label.Value)
			}
		}
	}
	if size := len(w.dst) - len(dst); size > MaxPayload {
		return dst, fmt.Errorf("encode part: collector %q: %d bytes, want at most %d: %w", p.Collector, size, MaxPayload, ErrLimit)
	}
	return w.dst, nil
}

// textWriter writes numbers and texts. A text that was written before is
// written as its number.
type textWriter struct {
	dst     []byte
	numbers map[string]int // 1, 2, 3, ... in the order of first use
}

func (w *textWriter) number(n int) { w.dst = appendVarint(w.dst, uint64(n)) }

func (w *textWriter) text(text string) {
	if n, known := w.numbers[text]; known {
		w.number(n)
		return
	}
	w.numbers[text] = len(w.numbers) + 1
	w.number(0)
	w.number(len(text))
	w.dst = append(w.dst, text...)
}

// ParsePart is the inverse of AppendPart. It accepts exactly one encoding of a
// part, so that equal parts have equal ids. The part does not alias b, and its
// equal texts share their memory.
func ParsePart(b []byte) (model.Part, error) {
	if len(b) > MaxPayload {
		return model.Part{}, fmt.Errorf("part of %d bytes, want at most %d: %w", len(b), MaxPayload, ErrLimit)
	}
	r := textReader{reader: reader{b: b}, known: map[string]struct{}{}}
	p, err := r.part()
	if err == nil {
		err = checkPart(&p)
	}
	if err != nil {
		return model.Part{}, fmt.Errorf("part: %w", err)
	}
	return p, nil
}

// textReader reads what textWriter wrote.
type textReader struct {
	reader
	texts   []string
	known   map[string]struct{}
	columns int
}

// The shortest encodings in bytes, which bound how many can follow.
const (
	minText   = 1
	minLabel  = 2 * minText
	minSeries = 1
	minFamily = 2*minText + 2 + 1 + minSeries
)

func (r *textReader) part() (p model.Part, err error) {
	if version := r.byte(); r.err == nil && version != partVersion {
		return p, fmt.Errorf("first byte %#x: %w", version, ErrVersion)
	}
	p.Collector = r.text(MaxName)
	families := r.count(MaxPartColumns, minFamily)
	p.Families = make([]model.Family, families)
	for i := range p.Families {
		r.family(&p.Families[i])
	}
	return p, r.end()
}

func (r *textReader) family(f *model.Family) {
	f.Name = r.text(MaxName)
	f.Help = r.text(MaxHelp)
	f.Type = model.MetricType(r.byte())
	f.Scale = r.byte()
	series := r.count(MaxPartColumns, minSeries)
	if r.columns += series; r.columns > MaxPartColumns {
		r.fail(ErrLimit, "more than %d series", MaxPartColumns)
	}
	if r.err != nil {
		return
	}
	f.Series = make([]model.Labels, series)
	for i := range f.Series {
		f.Series[i] = r.labels()
	}
}

func (r *textReader) labels() model.Labels {
	n := r.count(MaxLabels, minLabel)
	if n == 0 {
		return nil
	}
	labels := make(model.Labels, n)
	for i := range labels {
		labels[i] = model.Label{Name: r.text(MaxName), Value: r.text(MaxValue)}
	}
	return labels
}

func (r *textReader) text(most int) string {
	number := r.varint()
	if number > uint64(len(r.texts)) {
		r.fail(ErrMalformed, "text %d of %d", number, len(r.texts))
	}
	if r.err != nil {
		return ""
	}
	if number > 0 {
		return r.texts[number-1]
	}
	text := string(r.bytes(r.count(most, 1)))
	if _, twice := r.known[text]; twice {
		r.fail(ErrMalformed, "text %.40q written out twice", text)
	}
	r.texts = append(r.texts, text)
	r.known[text] = struct{}{}
	return text
}
