package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of an entry, in bytes; what is longer is cut off.
const (
	maxWord   = 64 // Daemon, What, keys of More
	maxName   = 256
	maxDetail = 1024
	maxValue  = 256
	maxMore   = 16 // members
	// maxLine is the length of the longest line: JSON doubles a byte at most,
	// since what it would turn into more is not left in (clean).
	maxLine = 16 << 10
)

// cleaned returns e with values that are text of one line and not too long.
// Nobody can forge a line or hide a part of it with what he calls himself.
func cleaned(e Entry) Entry {
	e.Daemon = clean(e.Daemon, maxWord)
	e.Who = clean(e.Who, maxName)
	e.What = clean(e.What, maxWord)
	e.On = clean(e.On, maxName)
	e.From = clean(e.From, maxName)
	e.Detail = clean(e.Detail, maxDetail)
	if len(e.More) == 0 {
		e.More = nil
		return e
	}
	more := make(map[string]string, min(len(e.More), maxMore))
	for _, key := range slices.Sorted(maps.Keys(e.More)) {
		if len(more) == maxMore {
			break
		}
		more[clean(key, maxWord)] = clean(e.More[key], maxValue)
	}
	e.More = more
	return e
}

// clean replaces what is no visible character: control characters, line and
// paragraph ends, marks that turn the direction of writing, damaged UTF-8.
func clean(text string, limit int) string {
	good := len(text) <= limit
	for i := 0; good && i < len(text); i++ {
		good = text[i] >= ' ' && text[i] < 0x7f
	}
	if good {
		return text
	}
	var line strings.Builder
	for _, r := range text {
		if r == utf8.RuneError || !unicode.IsGraphic(r) {
			r = '?'
		}
		if line.Len()+utf8.RuneLen(r) > limit {
			break
		}
		line.WriteRune(r)
	}
	return line.String()
}

// appendLine appends the entry as one line.
func appendLine(dst []byte, e Entry) ([]byte, error) {
	var line bytes.Buffer
	encoder := json.NewEncoder(&line)
	encoder.SetEscapeHTML(false) // the log is read by people
	if err := encoder.Encode(cleaned(e)); err != nil {
		return dst, fmt.Errorf("audit entry %q: %w", e.What, err) // a time beyond the year 9999
	}
	return append(dst, line.Bytes()...), nil
}

// parseLine reads a line without its end. Unknown members are passed over, so
// that a newer release may add some.
func parseLine(line []byte) (Entry, bool) {
	var e Entry
	if len(line) == 0 || len(line) > maxLine || json.Unmarshal(line, &e) != nil || e.At.IsZero() || e.What == "" {
		return Entry{}, false
	}
	return e, true
}
