package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

const (
	// version is in the upper four bits of the first byte.
	version = 1 << 4

	flagBackfill = 1
)

var (
	// ErrVersion says that a record is of a kind or version that is not known, and
	// wraps durable.ErrNewerFormat. It may change what the others mean.
	ErrVersion = fmt.Errorf("unknown kind of record: %w", durable.ErrNewerFormat)
	// ErrMalformed says that a record is unharmed, and not what this package writes.
	ErrMalformed = errors.New("malformed")
	// ErrKind says that there is another kind of record than was asked for.
	ErrKind = errors.New("another kind of record")
	// ErrIntervals says that intervals do not rise, touch each other, or are none.
	ErrIntervals = errors.New("intervals do not rise")
)

// AppendEntry appends the encoded record to dst. The error is ErrIntervals, or
// ErrMalformed for a kind that is none; dst is then as it was.
func AppendEntry(dst []byte, e Entry) ([]byte, error) {
	start := dst
	dst = append(dst, version|byte(e.Kind))
	switch e.Kind {
	case KindSession:
		dst = binary.AppendUvarint(dst, e.Session)
		dst = binary.AppendUvarint(dst, uint64(e.Source))
		flags := byte(0)
		if e.Backfill {
			flags |= flagBackfill
		}
		dst = append(dst, flags)
		dst = append(dst, e.Worker[:]...)
		dst = append(dst, e.Boot[:]...)
	case KindRecord:
		dst = appendRecord(start, e.Session, e.Raw)
	case KindBase:
		dst = binary.AppendUvarint(dst, e.Session)
		dst = binary.AppendUvarint(dst, uint64(e.Stream))
		dst = append(dst, e.Schema[:]...)
		dst = append(dst, e.State...)
	case KindCoverage:
		dst = append(dst, e.Worker[:]...)
		dst = append(dst, e.Boot[:]...)
		dst = binary.AppendVarint(dst, int64(e.Heard))
		dst = binary.AppendUvarint(dst, uint64(len(e.Intervals)))
		after := uint64(1) // the lowest that the next may begin with
		for _, i := range e.Intervals {
			if after == 0 || i.From < after || i.To < i.From {
				return start, fmt.Errorf("%d to %d after %d: %w", i.From, i.To, after, ErrIntervals)
			}
			dst = binary.AppendUvarint(dst, i.From-after)
			dst = binary.AppendUvarint(dst, i.To-i.From)
			if after = i.To + 2; after < i.To {
				after = 0 // nothing can follow
			}
		}
	case KindEnd:
		dst = binary.AppendUvarint(dst, uint64(e.Source))
		dst = binary.AppendVarint(dst, int64(e.At))
	case KindSealed:
		dst = binary.AppendUvarint(dst, e.Volume)
		dst = binary.AppendUvarint(dst, uint64(e.Source))
		dst = binary.AppendUvarint(dst, uint64(e.Stream))
	case KindPassed:
		if e.From == 0 || e.To < e.From {
			return start, fmt.Errorf("%d to %d: %w", e.From, e.To, ErrIntervals)
		}
		dst = binary.AppendUvarint(dst, e.Session)
		dst = binary.AppendUvarint(dst, e.From)
		dst = binary.AppendUvarint(dst, e.To-e.From)
	case KindRefused:
		if e.Seq == 0 {
			return start, fmt.Errorf("record 0: %w", ErrIntervals)
		}
		dst = binary.AppendUvarint(dst, e.Session)
		dst = binary.AppendUvarint(dst, e.Seq)
		dst = binary.AppendVarint(dst, int64(e.At))
		dst = binary.AppendVarint(dst, e.Samples)
		dst = binary.AppendUvarint(dst, uint64(len(e.Cause)))
		dst = append(dst, e.Cause...)
	default:
		return start, fmt.Errorf("record of %v: %w", e.Kind, ErrMalformed)
	}
	return dst, nil
}

// appendRecord is AppendEntry for the records of workers, which are nearly all.
func appendRecord(dst []byte, session uint64, raw []byte) []byte {
	dst = binary.AppendUvarint(append(dst, version|byte(KindRecord)), session)
	return append(dst, raw...)
}

// ParseEntry is the inverse of AppendEntry. Raw and State alias b. Memory is
// allocated for intervals only, and no more than b justifies. Errors wrap
// ErrVersion or ErrMalformed.
func ParseEntry(b []byte) (Entry, error) {
	if len(b) == 0 {
		return Entry{}, fmt.Errorf("no bytes: %w", ErrMalformed)
	}
	e := Entry{Kind: Kind(b[0] & 15)}
	if b[0]&^15 != version || e.Kind == 0 || e.Kind >= kinds {
		return Entry{}, fmt.Errorf("first byte %#x: %w", b[0], ErrVersion)
	}
	r := reader{b: b[1:]}
	switch e.Kind {
	case KindSession:
		e.Session, e.Source = r.uvarint(), r.uint32()
		flags := r.byte()
		e.Backfill = flags&flagBackfill != 0
		r.bad = r.bad || flags > flagBackfill
		e.Worker, e.Boot = r.id(), r.id()
	case KindRecord:
		e.Session, e.Raw = r.uvarint(), r.rest()
	case KindBase:
		e.Session, e.Stream = r.uvarint(), model.StreamID(r.uint32())
		e.Schema, e.State = frame.SchemaID(r.id()), r.rest()
	case KindCoverage:
		e.Worker, e.Boot = r.id(), r.id()
		e.Heard, e.Intervals = model.Millis(r.varint()), r.intervals()
	case KindEnd:
		e.Source, e.At = r.uint32(), model.Millis(r.varint())
	case KindSealed:
		e.Volume, e.Source, e.Stream = r.uvarint(), r.uint32(), model.StreamID(r.uint32())
	case KindPassed:
		e.Session, e.From = r.uvarint(), r.uvarint()
		e.To = r.sum(e.From, r.uvarint())
		r.bad = r.bad || e.From == 0
	case KindRefused:
		e.Session, e.Seq = r.uvarint(), r.uvarint()
		e.At, e.Samples = model.Millis(r.varint()), r.varint()
		if n := r.uvarint(); n > 0 {
			e.Cause = string(r.take(int(min(n, math.MaxInt32))))
		}
		r.bad = r.bad || e.Seq == 0
	}
	if r.bad || len(r.b) > 0 {
		return Entry{}, fmt.Errorf("%v of %d bytes: %w", e.Kind, len(b), ErrMalformed)
	}
	return e, nil
}

// reader takes a record apart. After the first thing that is wrong it is bad, and
// gives zeros.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n <= 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	taken := r.b[:n]
	r.b = r.b[n:]
	return taken
}

// rest returns what is left, which can be nothing.
func (r *reader) rest() []byte {
	left := r.b[:len(r.b):len(r.b)]
	r.b = nil
	return left
}

func (r *reader) byte() byte {
	if taken := r.take(1); taken != nil {
		return taken[0]
	}
	return 0
}

func (r *reader) id() (id [16]byte) {
	copy(id[:], r.take(len(id)))
	return id
}

// uvarint takes a number in its shortest form.
func (r *reader) uvarint() uint64 {
	u, n := binary.Uvarint(r.b)
	if taken := r.take(n); taken == nil || n > 1 && taken[n-1] == 0 {
		r.bad = true
		return 0
	}
	return u
}

func (r *reader) uint32() uint32 {
	u := r.uvarint()
	if u > math.MaxUint32 {
		r.bad = true
		return 0
	}
	return uint32(u)
}

func (r *reader) varint() int64 {
	u := r.uvarint()
	return int64(u>>1) ^ -int64(u&1)
}

// sum adds, and takes what is too large for bad.
func (r *reader) sum(a, b uint64) uint64 {
	if a+b < a {
		r.bad = true
		return 0
	}
	return a + b
}

func (r *reader) intervals() []Interval {
	n := r.uvarint()
	if r.bad || n > uint64(len(r.b)/2) { // two bytes each at least
		r.bad = true
		return nil
	}
	list := make([]Interval, n)
	before := uint64(1)
	for i := range list {
		from := r.sum(before, r.uvarint())
		list[i] = Interval{from, r.sum(from, r.uvarint())}
		if i+1 < len(list) {
			before = r.sum(list[i].To, 2)
		}
	}
	return list
}
