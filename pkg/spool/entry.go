package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// entryKind is what an entry of one of the logs is, its first byte.
type entryKind byte

const (
	kindRecord  entryKind = 1
	kindBoot    entryKind = 2
	kindLoss    entryKind = 3
	kindClosed  entryKind = 4
	kindContent entryKind = 5
	kindMention entryKind = 6
)

// entryVersion is the version of what the logs hold. It is in each entry of kind
// boot, and such an entry begins everything.
const entryVersion = 1

var (
	// ErrVersion says that a newer release has written the spool. It is left as it
	// is.
	ErrVersion = errors.New("spool of an unknown version")
	// errMalformed says that an entry whose checksum is right holds something else
	// than this package writes.
	errMalformed = errors.New("malformed entry")
)

// entry is one entry of a log; what is set depends on its kind.
type entry struct {
	kind entryKind
	// boot is the number of the boot that it belongs to; in an entry of kind boot
	// that of the boot itself.
	boot uint32

	// Of a record and of a loss.
	samples uint64 // values in the frame
	// frames and total count the frames, and the values in them, of the boot from
	// its start up to and with this one: what is between two entries can be counted
	// by them when it cannot be read.
	frames, total uint64
	raw           []byte // encoded frame.Record

	// Of a loss: what it counts, to the record. through is an index: the log holds
	// nothing up to there any more.
	through uint64
	lost    []lostSeqs

	start start // of a boot
	// again says of a boot that it has begun before: what was written down of it is
	// repeated, for when the first time cannot be read.
	again bool
	at    time.Time  // of an orderly end
	def   definition // of a content, and of a mention
}

// lostSeqs are numbers of a boot.
type lostSeqs struct {
	boot uint32
	interval
}

// start is what the logs tell of a boot.
type start struct {
	id      model.BootID
	worker  model.WorkerID
	fleet   string
	started time.Time
	// Where the boot before it had come to: number of its last record, and its
	// counts. 0 if there was none.
	before                     uint32
	formerSeq                  uint64
	formerFrames, formerTotals uint64
}

// definition is a part or schema, or where one was given a number.
type definition struct {
	kind    frame.Kind
	payload []byte // of a content
	// Of a mention.
	seq    uint64
	stream model.StreamID
	id     [16]byte
}

func appendEntry(dst []byte, e entry) []byte {
	dst = append(dst, byte(e.kind))
	if e.kind == kindBoot {
		dst = append(dst, entryVersion)
	}
	if e.kind != kindContent {
		dst = binary.AppendUvarint(dst, uint64(e.boot))
	}
	switch e.kind {
	case kindRecord:
		dst = binary.AppendUvarint(dst, e.samples)
		dst = appendCounts(dst, e)
		dst = append(dst, e.raw...)
	case kindLoss:
		dst = appendCounts(dst, e)
		dst = binary.AppendUvarint(dst, e.through)
		dst = binary.AppendUvarint(dst, uint64(len(e.lost)))
		for _, l := range e.lost {
			dst = binary.AppendUvarint(dst, uint64(l.boot))
			dst = binary.AppendUvarint(dst, l.from)
			dst = binary.AppendUvarint(dst, l.to-l.from)
		}
		dst = append(dst, e.raw...)
	case kindBoot:
		dst = append(dst, boolByte(e.again))
		dst = append(dst, e.start.id[:]...)
		dst = append(dst, e.start.worker[:]...)
		dst = binary.LittleEndian.AppendUint64(dst, uint64(e.start.started.UnixMilli()))
		for _, n := range []uint64{uint64(e.start.before), e.start.formerSeq, e.start.formerFrames, e.start.formerTotals} {
			dst = binary.AppendUvarint(dst, n)
		}
		dst = append(dst, e.start.fleet...)
	case kindClosed:
		dst = binary.LittleEndian.AppendUint64(dst, uint64(e.at.UnixMilli()))
	case kindContent:
		dst = append(dst, byte(e.def.kind))
		dst = append(dst, e.def.payload...)
	case kindMention:
		dst = append(dst, byte(e.def.kind))
		dst = binary.AppendUvarint(dst, e.def.seq)
		dst = binary.AppendUvarint(dst, uint64(e.def.stream))
		dst = append(dst, e.def.id[:]...)
	}
	return dst
}

func boolByte(is bool) byte {
	if is {
		return 1
	}
	return 0
}

func appendCounts(dst []byte, e entry) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, e.frames), e.total)
}

// parseEntry is the inverse of appendEntry; raw and payload alias b. The error
// wraps ErrVersion or errMalformed.
func parseEntry(b []byte) (e entry, err error) {
	p := parser{b: b}
	e.kind = entryKind(p.byte())
	if e.kind < kindRecord || e.kind > kindMention {
		return e, fmt.Errorf("entry of kind %d: %w", e.kind, ErrVersion)
	}
	if e.kind == kindBoot {
		if version := p.byte(); version != entryVersion {
			return e, fmt.Errorf("version %d, known is %d: %w", version, entryVersion, ErrVersion)
		}
	}
	if e.kind != kindContent {
		e.boot = uint32(p.number(1<<32 - 1))
	}
	switch e.kind {
	case kindRecord:
		e.samples = p.number(frame.MaxColumns)
		e.frames, e.total = p.number(maxNumber), p.number(maxNumber)
		e.raw = p.rest()
	case kindLoss:
		e.frames, e.total = p.number(maxNumber), p.number(maxNumber)
		e.through = p.number(maxNumber)
		e.lost = p.lost()
		e.raw = p.rest()
	case kindBoot:
		again := p.byte()
		e.again, p.bad = again == 1, p.bad || again > 1
		e.start = p.start()
	case kindClosed:
		e.at = p.time()
	case kindContent:
		e.def.kind = p.definitionKind()
		e.def.payload = p.rest()
	case kindMention:
		e.def.kind = p.definitionKind()
		e.def.seq = p.number(maxNumber)
		e.def.stream = model.StreamID(p.number(1<<32 - 1))
		copy(e.def.id[:], p.bytes(len(e.def.id)))
	}
	if p.bad || len(p.b) > 0 {
		return entry{}, fmt.Errorf("entry of kind %d, %d bytes: %w", e.kind, len(b), errMalformed)
	}
	return e, nil
}

// maxNumber bounds numbers, so that sums of them do not overflow.
const maxNumber = 1 << 62

// parser reads an entry. After the first mistake it gives zeros.
type parser struct {
	b   []byte
	bad bool
}

func (p *parser) bytes(n int) []byte {
	if p.bad || len(p.b) < n {
		p.bad, p.b = true, nil
		return make([]byte, n)
	}
	taken := p.b[:n:n]
	p.b = p.b[n:]
	return taken
}

func (p *parser) byte() byte { return p.bytes(1)[0] }

func (p *parser) rest() []byte { return p.bytes(len(p.b)) }

func (p *parser) number(most uint64) uint64 {
	n, size := binary.Uvarint(p.b)
	if size <= 0 || n > most || p.bad {
		p.bad, p.b = true, nil
		return 0
	}
	p.b = p.b[size:]
	return n
}

func (p *parser) time() time.Time {
	return time.UnixMilli(int64(binary.LittleEndian.Uint64(p.bytes(8))))
}

func (p *parser) definitionKind() frame.Kind {
	kind := frame.Kind(p.byte())
	if kind != frame.KindPart && kind != frame.KindSchema {
		p.bad = true
	}
	return kind
}

// lost reads a list whose length is bounded by what follows.
func (p *parser) lost() []lostSeqs {
	const least = 3 // bytes of one
	n := p.number(uint64(len(p.b)) / least)
	list := make([]lostSeqs, 0, n)
	for range n {
		l := lostSeqs{boot: uint32(p.number(1<<32 - 1))}
		l.from = p.number(maxNumber)
		l.to = l.from + p.number(maxNumber)
		p.bad = p.bad || l.from == 0
		list = append(list, l)
	}
	return list
}

func (p *parser) start() (r start) {
	copy(r.id[:], p.bytes(len(r.id)))
	copy(r.worker[:], p.bytes(len(r.worker)))
	r.started = p.time()
	r.before = uint32(p.number(1<<32 - 1))
	r.formerSeq, r.formerFrames, r.formerTotals = p.number(maxNumber), p.number(maxNumber), p.number(maxNumber)
	r.fleet = string(p.rest())
	return r
}
