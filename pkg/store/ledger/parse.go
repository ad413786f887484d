package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// errMalformed says that a record of the log is not what this version writes.
var errMalformed = errors.New("malformed record of the ledger")

// parseRecord reads a record. Errors wrap errMalformed, or durable.ErrNewerFormat
// for a version that this release does not know. The result does not alias b.
func parseRecord(b []byte) (*record, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("empty: %w", errMalformed)
	}
	if b[0]>>4 > version {
		return nil, fmt.Errorf("version %d: %w", b[0]>>4, durable.ErrNewerFormat)
	}
	r := &record{kind: kind(b[0])}
	p := parser{rest: b[1:]}
	switch r.kind {
	case kindReport, kindRefusals, kindEntry:
		p.entry(r)
	case kindEarlier:
		p.earlier(r)
	default:
		return nil, fmt.Errorf("kind %#x: %w", b[0], errMalformed)
	}
	if p.bad || len(p.rest) > 0 {
		return nil, fmt.Errorf("%d bytes of kind %#x: %w", len(b), b[0], errMalformed)
	}
	return r, nil
}

// parser takes fields from the front. After the first that is bad all are zero.
type parser struct {
	rest []byte
	bad  bool
}

func (p *parser) fail() { p.bad, p.rest = true, nil }

func (p *parser) entry(r *record) {
	r.id = p.above(0)
	p.id((*[16]byte)(&r.worker))
	p.id((*[16]byte)(&r.boot))
	g := &r.gap
	g.From, g.To, r.noted = p.stretch()
	g.Cause = p.cause()
	g.Frames, g.Samples = p.varint(), p.varint()
	g.Text = p.text(event.MaxText)
	if r.kind == kindReport {
		seq := p.above(0)
		r.seqs.add(seq, seq)
		copy(g.Boot[:], p.bytes(len(g.Boot)))
		g.FirstSeq = p.varint()
		g.LastSeq = g.FirstSeq + p.varint()
		if !p.bad && g.Check() != nil {
			p.fail()
		}
		return
	}
	p.seqs(&r.seqs)
	if model.Line(g.Text, event.MaxText) != g.Text || g.Frames == 0 {
		p.fail()
	}
}

func (p *parser) earlier(r *record) {
	r.id = p.above(0)
	p.id((*[16]byte)(&r.worker))
	n := p.varint()
	if n == 0 || n > maxCauses {
		p.fail()
		return
	}
	r.sums = make([]sum, n)
	for i := range r.sums {
		s := &r.sums[i]
		s.From, s.To, s.noted = p.stretch()
		s.Cause = p.cause()
		s.Frames, s.Samples, s.Entries = p.varint(), p.varint(), p.above(0)
		for _, other := range r.sums[:i] {
			if other.Cause == s.Cause {
				p.fail()
			}
		}
	}
}

// varint reads a number in its shortest form.
func (p *parser) varint() uint64 {
	v, n := binary.Uvarint(p.rest)
	if n <= 0 || n > 1 && p.rest[n-1] == 0 {
		p.fail()
		return 0
	}
	p.rest = p.rest[n:]
	return v
}

func (p *parser) above(least uint64) uint64 {
	v := p.varint()
	if v <= least {
		p.fail()
	}
	return v
}

func (p *parser) bytes(n int) []byte {
	if n > len(p.rest) {
		p.fail()
		return nil
	}
	b := p.rest[:n]
	p.rest = p.rest[n:]
	return b
}

// id reads an id that is not zero.
func (p *parser) id(id *[16]byte) {
	copy(id[:], p.bytes(len(id)))
	if *id == [16]byte{} {
		p.fail()
	}
}

func (p *parser) text(most int) string {
	n := p.varint()
	if n > uint64(most) {
		p.fail()
	}
	if p.bad {
		return ""
	}
	return string(p.bytes(int(n)))
}

func (p *parser) cause() event.Cause {
	const longest = 32
	c := event.Cause(p.text(longest))
	if !c.Valid() {
		p.fail()
		return ""
	}
	return known(c)
}

// known returns a cause whose bytes all entries share, if it is one of ours.
func known(c event.Cause) event.Cause {
	for _, k := range event.Causes() {
		if k == c {
			return k
		}
	}
	return c
}

func (p *parser) stretch() (from, to, noted model.Millis) {
	start, length, seen := p.varint(), p.varint(), p.varint()
	if start > uint64(event.MaxTime) || length > uint64(event.MaxTime)-start || seen > uint64(event.MaxTime) {
		p.fail()
		return 0, 0, 0
	}
	return model.Millis(start), model.Millis(start + length), model.Millis(seen)
}

// seqs reads a set. Runs that touch each other are one run in what is written.
func (p *parser) seqs(s *seqs) {
	n := p.varint()
	if n == 0 || n > maxRuns {
		p.fail()
		return
	}
	for ; n > 0 && !p.bad; n-- {
		skip, more := p.varint(), p.varint()
		start := s.last + skip
		if skip == 0 || s.last > 0 && skip == 1 || start < skip || start+more < start || !s.add(start, start+more) {
			p.fail()
		}
	}
}
