package stream

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
	missing uint64 // numbers that were skipped before and between its records
}

// maxLegs bounds the list. Beyond, legs are merged: an acknowledgement in the
// midst of a merged one frees it later, with the rest of it.
const maxLegs = 1024

func (f *flight) add(l leg) {
	f.bytes += l.bytes
	if n := len(f.legs); n >= maxLegs {
		last := &f.legs[n-1]
		l.bytes += last.bytes
		l.missing += last.missing
		*last = l
		return
	}
	f.legs = append(f.legs, l)
}

// release takes off what is acknowledged through a number, and returns how many
// numbers were missing in it.
func (f *flight) release(through uint64) (missing uint64) {
	n := 0
	for ; n < len(f.legs) && f.legs[n].through <= through; n++ {
		f.bytes -= f.legs[n].bytes
		missing += f.legs[n].missing
	}
	// Moving down keeps the list in the memory that it has.
	f.legs = f.legs[:copy(f.legs, f.legs[n:])]
	return missing
}
