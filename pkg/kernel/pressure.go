package kernel

import "bytes"

// Pressure is the content of one file of /proc/pressure: for how long work was
// stalled since boot, in microseconds.
type Pressure struct {
	Some, Full       uint64 // some tasks stalled; all of them
	HasSome, HasFull bool
}

// ParsePressure reads a file of /proc/pressure (kernel/sched/psi.c, psi_show).
// Lines that it does not know are ignored.
func ParsePressure(b []byte) (p Pressure, err error) {
	for number := 1; len(b) > 0; number++ {
		var line []byte
		line, b = cutLine(b)
		kind, rest := cutField(line)
		switch string(kind) {
		case "some":
			p.Some, p.HasSome = cutTotal(rest)
			if !p.HasSome {
				return Pressure{}, formatError("pressure", number, "total=number", line)
			}
		case "full":
			p.Full, p.HasFull = cutTotal(rest)
			if !p.HasFull {
				return Pressure{}, formatError("pressure", number, "total=number", line)
			}
		}
	}
	if !p.HasSome && !p.HasFull {
		return Pressure{}, &FormatError{Format: "pressure", Want: "a line some or full"}
	}
	return p, nil
}

func cutTotal(rest []byte) (micros uint64, ok bool) {
	for {
		var field []byte
		if field, rest = cutField(rest); len(field) == 0 {
			return 0, false
		}
		if digits, isTotal := bytes.CutPrefix(field, []byte("total=")); isTotal {
			return parseUint(digits)
		}
	}
}
