package schemas

import (
	"encoding/binary"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// The first byte of a record: the version in the upper four bits, then the kind.
const (
	partRecord   = 0x11
	schemaRecord = 0x12
	sourceRecord = 0x13
	spansRecord  = 0x14
)

// maxBatch is how many spans one record has at most.
const maxBatch = 1000

func appendPart(dst, encoded []byte) []byte { return append(append(dst, partRecord), encoded...) }

func appendSchema(dst, encoded []byte) []byte { return append(append(dst, schemaRecord), encoded...) }

func appendSource(dst []byte, s *Source) []byte {
	dst = binary.AppendUvarint(append(dst, sourceRecord), uint64(s.number))
	dst = append(dst, s.worker[:]...)
	dst = binary.AppendUvarint(dst, uint64(len(s.host.labels)))
	for _, l := range s.host.labels {
		dst = appendText(appendText(dst, l.Name), l.Value)
	}
	return dst
}

func appendText(dst []byte, text string) []byte {
	return append(binary.AppendUvarint(dst, uint64(len(text))), text...)
}

func appendSpans(dst []byte, spans []*Span) []byte {
	dst = binary.AppendUvarint(append(dst, spansRecord), uint64(len(spans)))
	for _, s := range spans {
		dst = appendSpan(dst, s, s.from.Load(), s.to.Load())
	}
	return dst
}

func appendSpan(dst []byte, s *Span, from, to int64) []byte {
	dst = binary.AppendUvarint(dst, uint64(s.source.number))
	dst = binary.AppendUvarint(dst, uint64(s.stream))
	dst = append(dst, s.schema.id[:]...)
	dst = binary.AppendVarint(dst, from)
	return binary.AppendUvarint(dst, uint64(to-from))
}

// Load takes back a record. It may come again, and a span's several times with other
// bounds. It fails as the call that made the record would, with ErrVersion or
// ErrMalformed; then nothing has changed.
func (d *Dictionary) Load(record []byte) error {
	if len(record) == 0 {
		return fmt.Errorf("schemas: load: empty record: %w", ErrMalformed)
	}
	var err error
	switch body := record[1:]; record[0] {
	case partRecord:
		_, _, err = d.AddPart(nil, body)
	case schemaRecord:
		_, _, err = d.AddSchema(nil, body)
	case sourceRecord:
		err = d.loadSource(body)
	case spansRecord:
		err = d.loadSpans(body)
	default:
		err = fmt.Errorf("schemas: load: first byte %#x: %w", record[0], ErrVersion)
	}
	return err
}

func (d *Dictionary) loadSource(body []byte) error {
	r := reader{b: body}
	number, worker := r.uvarint(), model.WorkerID(r.bytes(16))
	n := r.uvarint()
	if number == 0 || number > 1<<32-1 || n > frame.MaxLabels {
		r.bad = true
	}
	b := labels.NewScratchBuilder(4)
	before := ""
	for i := uint64(0); i < n && !r.bad; i++ {
		name, value := r.text(frame.MaxName), r.text(frame.MaxValue)
		if i > 0 && name <= before {
			r.bad = true
		}
		before = name
		b.Add(name, value)
	}
	if !r.whole() {
		return fmt.Errorf("schemas: load source: byte %d of %d: %w", r.at, len(body), ErrMalformed)
	}
	hostLabels := b.Labels()
	d.writing.Lock()
	defer d.writing.Unlock()
	known := d.numbers[uint32(number)]
	if known != nil && known.worker == worker && known.host.is(hostLabels) {
		return nil
	}
	if known != nil {
		return fmt.Errorf("schemas: load source: number %d of worker %v is another's already: %w", number, worker, ErrMalformed)
	}
	if s := d.findSource(worker, hostLabels); s != nil {
		// It was forgotten, and came again: records from now on call it so.
		s.former = append(s.former, s.number)
		s.number = uint32(number)
		s.idle = false
		d.numbers[s.number] = s
		d.last = max(d.last, s.number)
		return nil
	}
	_, err := d.addSource(uint32(number), worker, hostLabels)
	return err
}

// loaded is a span of a record.
type loaded struct {
	source   *Source
	stay     stay
	from, to int64
}

// minSpan is the size of the smallest span in a record.
const minSpan = 1 + 1 + 16 + 1 + 1

func (d *Dictionary) loadSpans(body []byte) error {
	d.writing.Lock()
	defer d.writing.Unlock()
	r := reader{b: body}
	n := r.uvarint()
	if n == 0 || n > maxBatch || n > uint64(len(body)/minSpan) {
		return fmt.Errorf("schemas: load %d spans from %d bytes: %w", n, len(body), ErrMalformed)
	}
	spans := make([]loaded, 0, n)
	room := map[*Source]int{}
	for range n {
		l, err := d.parseSpan(&r)
		if err != nil {
			return err
		}
		spans = append(spans, l)
		room[l.source]++
	}
	if !r.whole() {
		return fmt.Errorf("schemas: load spans: byte %d of %d: %w", r.at, len(body), ErrMalformed)
	}
	// Judge before anything changes, as if all of them were new.
	if d.bytes+spanBytes*int64(n) > int64(d.config.Bytes) {
		return &LimitError{"bytes", int64(d.config.Bytes)}
	}
	for s, more := range room {
		if err := d.roomForSpans(s, more); err != nil && !d.allKnown(spans) {
			return err
		}
	}
	for _, l := range spans {
		span, _, err := d.use(l.source, l.stay, l.from, l.to)
		if err != nil {
			return err // there was room for all
		}
		if from, to := span.Bounds(); int64(from) == l.from && int64(to) == l.to {
			span.note()
		}
	}
	return nil
}

// allKnown says whether every span of a record goes into one that is there.
func (d *Dictionary) allKnown(spans []loaded) bool {
	for _, l := range spans {
		if d.nearest(l.source, l.stay, l.from, l.to) == nil {
			return false
		}
	}
	return true
}

func (d *Dictionary) parseSpan(r *reader) (l loaded, err error) {
	number, stream := r.uvarint(), r.uvarint()
	id := frame.SchemaID(r.bytes(16))
	from, length := r.varint(), r.uvarint()
	if r.bad || number > 1<<32-1 || stream > 1<<32-1 || !isTime(from) || length >= farthest || !isTime(from+int64(length)) {
		return l, fmt.Errorf("schemas: load spans: byte %d of %d: %w", r.at, len(r.b), ErrMalformed)
	}
	l = loaded{d.numbers[uint32(number)], stay{model.StreamID(stream), d.schemas[id]}, from, from + int64(length)}
	switch {
	case l.source == nil:
		return l, fmt.Errorf("schemas: load span of source %d: %w", number, ErrUnknownSource)
	case l.stay.schema == nil:
		return l, fmt.Errorf("schemas: load span of schema %v: %w", id, ErrUnknownSchema)
	}
	return l, nil
}

// Snapshot gives the records of everything there is, in an order that Load takes.
// What is added meanwhile may be missing: its record is given to those who add
// it. When emit fails, its error is returned.
func (d *Dictionary) Snapshot(emit func(record []byte) error) error {
	parts, schemas, sources := d.everything()
	var buf []byte
	for _, p := range parts {
		encoded, err := frame.AppendPart(append(buf[:0], partRecord), p.Model())
		if err != nil {
			return fmt.Errorf("schemas: snapshot of part %v: %w", p.id, err) // it was parsed once
		}
		if err := emit(encoded); err != nil {
			return err
		}
		buf = encoded
	}
	for _, s := range schemas {
		named := frame.Schema{Parts: make([]frame.PartID, len(s.parts))}
		for i, p := range s.parts {
			named.Parts[i] = p.id
		}
		buf = frame.AppendSchema(append(buf[:0], schemaRecord), named)
		if err := emit(buf); err != nil {
			return err
		}
	}
	for _, s := range sources {
		buf = appendSource(buf[:0], s)
		if err := emit(buf); err != nil {
			return err
		}
	}
	known := make(map[*schema]struct{}, len(schemas))
	for _, s := range schemas {
		known[s] = struct{}{}
	}
	b := batch{d: d, emit: emit}
	for _, spans := range capture(d, sources, func(s *Source) []*Span { return s.spans }) {
		for _, span := range spans {
			if _, has := known[span.schema]; !has {
				continue // added meanwhile
			}
			if err := b.add(span); err != nil {
				return err
			}
		}
	}
	return b.flush()
}

// everything lists parts, schemas and sources, the newest not before what they need.
func (d *Dictionary) everything() (parts []*Part, schemas []*schema, sources []*Source) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for _, p := range d.parts {
		parts = append(parts, p)
	}
	for _, s := range d.schemas {
		schemas = append(schemas, s)
	}
	for _, s := range d.sources {
		sources = append(sources, s)
	}
	return parts, schemas, sources
}

// batch collects spans for records.
type batch struct {
	d     *Dictionary
	emit  func([]byte) error
	spans []*Span
	noted []loaded
	body  []byte
}

func (b *batch) add(s *Span) error {
	from, to := s.from.Load(), s.to.Load()
	b.spans = append(b.spans, s)
	b.noted = append(b.noted, loaded{from: from, to: to})
	b.body = appendSpan(b.body, s, from, to)
	if len(b.spans) < maxBatch {
		return nil
	}
	return b.flush()
}

func (b *batch) flush() error {
	if len(b.spans) == 0 {
		return nil
	}
	record := binary.AppendUvarint([]byte{spansRecord}, uint64(len(b.spans)))
	if err := b.emit(append(record, b.body...)); err != nil {
		return err
	}
	b.d.writing.Lock()
	defer b.d.writing.Unlock()
	for i, s := range b.spans {
		s.written.from, s.written.to = b.noted[i].from, b.noted[i].to
	}
	b.spans, b.noted, b.body = b.spans[:0], b.noted[:0], b.body[:0]
	return nil
}

// reader takes a record apart. After the first error it is bad, and gives zeros.
type reader struct {
	b   []byte
	at  int
	bad bool
}

func (r *reader) uvarint() uint64 {
	u, n := binary.Uvarint(r.b[r.at:])
	if n <= 0 || (n > 1 && r.b[r.at+n-1] == 0) { // cut off, too long, or not the shortest
		r.bad = true
	}
	if r.bad {
		return 0
	}
	r.at += n
	return u
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// bytes gives n bytes, which is small.
func (r *reader) bytes(n int) []byte {
	if len(r.b)-r.at < n {
		r.bad = true
	}
	if r.bad {
		return make([]byte, n)
	}
	r.at += n
	return r.b[r.at-n : r.at]
}

func (r *reader) text(most uint64) string {
	n := r.uvarint()
	if r.bad || n > most {
		r.bad = true
		return ""
	}
	return string(r.bytes(int(n)))
}

func (r *reader) whole() bool { return !r.bad && r.at == len(r.b) }
