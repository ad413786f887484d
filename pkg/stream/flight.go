package stream

import "time"

// flight is the list of what was sent, or received, and is not acknowledged.
// Not safe for concurrent use.
type flight struct {
	legs  []leg
	bytes uint64
}

// leg is one message's records.
type leg struct {
	through uint64 // number of the last record
	bytes   uint64
	missing uint64        // numbers that were skipped before and between its records
	at      time.Duration // when it began, since the connection did
}

// maxLegs bounds the list. Beyond, legs are merged: an acknowledgement in the
// midst of a merged one frees it later, with the rest of it.
const maxLegs = 1024

func (f *flight) add(l leg) {
	f.bytes += l.bytes
	if n := len(f.legs); n >= maxLegs {
		last := &f.legs[n-1]
		last.through = l.through
		last.bytes += l.bytes
		last.missing += l.missing
		return
	}
	f.legs = append(f.legs, l)
}

// landing is what an acknowledgement took off.
type landing struct {
	legs    int
	missing uint64        // numbers that were skipped
	began   time.Duration // of the leg that was longest in the air; of any use if there was one
}

// release takes off what is acknowledged through a number.
func (f *flight) release(through uint64) (l landing) {
	for l.legs < len(f.legs) && f.legs[l.legs].through <= through {
		f.bytes -= f.legs[l.legs].bytes
		l.missing += f.legs[l.legs].missing
		l.legs++
	}
	if l.legs > 0 {
		l.began = f.legs[0].at
	}
	// Moving down keeps the list in the memory that it has.
	f.legs = f.legs[:copy(f.legs, f.legs[l.legs:])]
	return l
}

// oldest is when the oldest leg in the air began; false when there is none.
func (f *flight) oldest() (at time.Duration, any bool) {
	if len(f.legs) == 0 {
		return 0, false
	}
	return f.legs[0].at, true
}
