package volume

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/binary"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Key names a lane: one stream of a worker under one set of host labels.
// Comparable; usable as a map key.
type Key struct {
	Worker model.WorkerID
	// Labels is a hash of the host labels: the first eight bytes, little-endian, of the
	// SHA-256 of their canonical encoding. It tells the few sets apart that one
	// worker ever had.
	Labels uint64
	Stream model.StreamID
}

// KeyOf is the key of a lane. The labels are those of the host, sorted by name,
// as schemas.Source has them. It takes some 200 ns: keep the key.
func KeyOf(worker model.WorkerID, hostLabels []labels.Label, stream model.StreamID) Key {
	var buf [512]byte
	sum := sha256.Sum256(appendLabels(buf[:0], hostLabels))
	return Key{Worker: worker, Labels: binary.LittleEndian.Uint64(sum[:]), Stream: stream}
}

// Compare is the order of keys in a volume.
func (k Key) Compare(other Key) int {
	return cmp.Or(
		bytes.Compare(k.Worker[:], other.Worker[:]),
		cmp.Compare(k.Labels, other.Labels),
		cmp.Compare(k.Stream, other.Stream))
}

// keySize is that of an encoded key.
const keySize = 28

func appendKey(dst []byte, k Key) []byte {
	dst = append(dst, k.Worker[:]...)
	dst = binary.LittleEndian.AppendUint64(dst, k.Labels)
	return binary.LittleEndian.AppendUint32(dst, uint32(k.Stream))
}

func parseKey(b []byte) Key {
	return Key{
		Worker: model.WorkerID(b[:16]),
		Labels: binary.LittleEndian.Uint64(b[16:]),
		Stream: model.StreamID(binary.LittleEndian.Uint32(b[24:])),
	}
}

// sought is a key in the form in which it is compared fastest.
type sought struct {
	high, low uint64 // the worker
	labels    uint64
	stream    uint32
}

func seek(k Key) sought {
	return sought{
		high:   binary.BigEndian.Uint64(k.Worker[:]),
		low:    binary.BigEndian.Uint64(k.Worker[8:]),
		labels: k.Labels,
		stream: uint32(k.Stream),
	}
}

// compare is Key.Compare with an encoded key.
func (s *sought) compare(b []byte) int {
	_ = b[keySize-1]
	if high := binary.BigEndian.Uint64(b); s.high != high {
		return cmp.Compare(s.high, high)
	}
	if low := binary.BigEndian.Uint64(b[8:]); s.low != low {
		return cmp.Compare(s.low, low)
	}
	if labels := binary.LittleEndian.Uint64(b[16:]); s.labels != labels {
		return cmp.Compare(s.labels, labels)
	}
	return cmp.Compare(s.stream, binary.LittleEndian.Uint32(b[24:]))
}

// search returns the first of n encoded keys, stride bytes apart and sorted, that is
// not below. It is what finding costs, so it compares the first words itself.
func (s *sought) search(b []byte, stride, n int) int {
	low := 0
	for low < n {
		middle := int(uint(low+n) >> 1)
		at := b[middle*stride:]
		high := binary.BigEndian.Uint64(at)
		below := s.high > high
		if s.high == high {
			below = s.compare(at) > 0
		}
		if below {
			low = middle + 1
		} else {
			n = middle
		}
	}
	return low
}
