package kernel

import "bytes"

// The small steps that the parsers are made of. They take the rest of the
// input and return what follows; none allocates.

// cutLine splits off the first line, without its newline.
func cutLine(b []byte) (line, rest []byte) {
	if end := bytes.IndexByte(b, '\n'); end >= 0 {
		return b[:end], b[end+1:]
	}
	return b, nil
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' || c == '\r' }

// cutField splits off the first word, which is empty at the end of the line.
func cutField(b []byte) (field, rest []byte) {
	start := 0
	for start < len(b) && isBlank(b[start]) {
		start++
	}
	end := start
	for end < len(b) && !isBlank(b[end]) {
		end++
	}
	return b[start:end], b[end:]
}

// cutUint splits off the first word, which must be a decimal number of at most
// 64 bits.
func cutUint(b []byte) (value uint64, rest []byte, ok bool) {
	field, rest := cutField(b)
	value, ok = parseUint(field)
	return value, rest, ok
}

// parseUint reads decimal digits and nothing else.
func parseUint(b []byte) (value uint64, ok bool) {
	if len(b) == 0 || len(b) > 20 {
		return 0, false
	}
	for _, c := range b {
		digit := uint64(c - '0')
		if digit > 9 {
			return 0, false
		}
		next := value*10 + digit
		if value > (1<<64-1)/10 || next < digit {
			return 0, false
		}
		value = next
	}
	return value, true
}

// ParseInt reads a number as attributes of sysfs hold it: decimal or, after
// 0x, hexadecimal, with an optional sign, white space around it ignored.
func ParseInt(b []byte) (value int64, ok bool) {
	b = bytes.TrimSpace(b)
	negative := false
	if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
		negative = b[0] == '-'
		b = b[1:]
	}
	var magnitude uint64
	if len(b) > 2 && b[0] == '0' && (b[1] == 'x' || b[1] == 'X') {
		magnitude, ok = parseHex(b[2:])
	} else {
		magnitude, ok = parseUint(b)
	}
	switch {
	case !ok:
		return 0, false
	case negative && magnitude <= 1<<63:
		return -int64(magnitude), true
	case magnitude < 1<<63:
		return int64(magnitude), true
	}
	return 0, false
}

func parseHex(b []byte) (value uint64, ok bool) {
	if len(b) > 16 {
		return 0, false
	}
	for _, c := range b {
		var digit byte
		switch {
		case c >= '0' && c <= '9':
			digit = c - '0'
		case c >= 'a' && c <= 'f':
			digit = c - 'a' + 10
		case c >= 'A' && c <= 'F':
			digit = c - 'A' + 10
		default:
			return 0, false
		}
		value = value<<4 | uint64(digit)
	}
	return value, true
}

// ParseText returns an attribute's text without the white space around it,
// which is how sysfs ends every line.
func ParseText(b []byte) []byte { return bytes.TrimSpace(b) }
