package kernel

import "bytes"

// Load is the run queue's length averaged over 1, 5 and 15 minutes.
type Load [3]float64

// ParseLoadavg reads /proc/loadavg (fs/proc/loadavg.c, loadavg_proc_show),
// whose numbers have two decimals.
func ParseLoadavg(b []byte) (load Load, err error) {
	line, _ := cutLine(b)
	rest := line
	for i := range load {
		var field []byte
		var ok bool
		field, rest = cutField(rest)
		if load[i], ok = parseDecimal(field); !ok {
			return Load{}, formatError("loadavg", 1, "three numbers with decimals", line)
		}
	}
	return load, nil
}

// parseDecimal reads digits with an optional fraction of up to nine digits. The
// result is the float64 nearest to the text, as one division by a power of ten
// is exact enough below 2^53.
func parseDecimal(b []byte) (value float64, ok bool) {
	whole, fraction, _ := bytes.Cut(b, []byte("."))
	number, ok := parseUint(whole)
	if !ok || len(fraction) > 9 {
		return 0, false
	}
	divisor := uint64(1)
	for _, c := range fraction {
		if c < '0' || c > '9' || number >= 1<<53/10 {
			return 0, false
		}
		number = number*10 + uint64(c-'0')
		divisor *= 10
	}
	return float64(number) / float64(divisor), true
}
