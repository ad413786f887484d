package kernel

import "bytes"

// MemField is one line of /proc/meminfo.
type MemField struct {
	Name      []byte // without the colon; a slice of the input
	Value     uint64
	Kilobytes bool // else it is a plain count
}

// ParseMeminfo appends the lines of /proc/meminfo (fs/proc/meminfo.c,
// meminfo_proc_show) to dst and returns it.
func ParseMeminfo(b []byte, dst []MemField) ([]MemField, error) {
	for number := 1; len(b) > 0; number++ {
		var line []byte
		line, b = cutLine(b)
		name, rest, found := bytes.Cut(line, []byte(":"))
		value, rest, ok := cutUint(rest)
		unit, rest := cutField(rest)
		more, _ := cutField(rest)
		if !found || len(name) == 0 || !ok || len(more) > 0 {
			return dst, formatError("meminfo", number, "name: number [kB]", line)
		}
		field := MemField{Name: name, Value: value}
		switch string(unit) {
		case "":
		case "kB":
			field.Kilobytes = true
		default:
			return dst, formatError("meminfo", number, "no unit but kB", line)
		}
		dst = append(dst, field)
	}
	if len(dst) == 0 {
		return dst, &FormatError{Format: "meminfo", Want: "at least one line"}
	}
	return dst, nil
}
