package kernel

// VMField is one line of /proc/vmstat.
type VMField struct {
	Name  []byte // a slice of the input
	Value uint64
}

// ParseVmstat appends the lines of /proc/vmstat (mm/vmstat.c, vmstat_show) to
// dst and returns it.
func ParseVmstat(b []byte, dst []VMField) ([]VMField, error) {
	for number := 1; len(b) > 0; number++ {
		var line []byte
		line, b = cutLine(b)
		name, rest := cutField(line)
		value, rest, ok := cutUint(rest)
		more, _ := cutField(rest)
		if len(name) == 0 || !ok || len(more) > 0 {
			return dst, formatError("vmstat", number, "name number", line)
		}
		dst = append(dst, VMField{Name: name, Value: value})
	}
	if len(dst) == 0 {
		return dst, &FormatError{Format: "vmstat", Want: "at least one line"}
	}
	return dst, nil
}
