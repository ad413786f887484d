package audit

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Bounds of an entry, in bytes; what is longer is cut off.
const (
	maxWord   = 64 // Daemon, What, keys of More
	maxName   = 256
	maxDetail = 1024
	maxValue  = 256
	maxMore   = 16 // members
	// maxLine is the length of the longest line: JSON doubles a byte at most,
	// since what it would turn into more is not left in (model.Line).
	maxLine = 16 << 10
)

// cleaned returns e with values that are text of one line and not too long.
// Nobody can forge a line or hide a part of it with what he calls himself.
func cleaned(e Entry) Entry {
	e.Daemon = model.Line(e.Daemon, maxWord)
	e.Who = model.Line(e.Who, maxName)
	e.What = model.Line(e.What, maxWord)
	e.On = model.Line(e.On, maxName)
	e.From = model.Line(e.From, maxName)
	e.Detail = model.Line(e.Detail, maxDetail)
	if len(e.More) == 0 {
		e.More = nil
		return e
	}
	more := make(map[string]string, min(len(e.More), maxMore))
	for _, key := range slices.Sorted(maps.Keys(e.More)) {
		if len(more) == maxMore {
			break
		}
		more[model.Line(key, maxWord)] = model.Line(e.More[key], maxValue)
	}
	e.More = more
	return e
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
