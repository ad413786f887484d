package event

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// ErrMalformed says that bytes are no event.
var ErrMalformed = errors.New("malformed event")

// member is a member of a JSON object, its value not yet looked at.
type member struct {
	name  string
	value json.RawMessage
}

// Parse reads an event. Errors wrap ErrMalformed. What it returns does not alias
// b.
func Parse(b []byte) (Event, error) {
	members, err := object(b)
	if err != nil {
		return Event{}, err
	}
	at := slices.IndexFunc(members, func(m member) bool { return m.name == "type" })
	if at < 0 {
		return Event{}, fmt.Errorf("event without a type: %w", ErrMalformed)
	}
	name, err := text(members[at].value)
	if err != nil || !isName(name) {
		return Event{}, fmt.Errorf("event of type %.40s: %w", members[at].value, ErrMalformed)
	}
	if Type(name) != TypeGap {
		return Event{Type: TypeOther, Name: name, Raw: bytes.Clone(b)}, nil
	}
	gap, err := parseGap(slices.Delete(members, at, at+1))
	if err != nil {
		return Event{}, err
	}
	return Event{Type: TypeGap, Gap: &gap}, nil
}

// object takes an object apart: its members as they stand, none twice.
func object(b []byte) ([]member, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("event of %d bytes: %w", len(b), ErrMalformed)
	}
	// Without the first check a reader would show something else than was written.
	if !utf8.Valid(b) || !json.Valid(b) || b[0] != '{' || b[len(b)-1] != '}' {
		return nil, fmt.Errorf("no JSON object: %w", ErrMalformed)
	}
	decoder := json.NewDecoder(bytes.NewReader(b))
	if _, err := decoder.Token(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	var members []member
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		m := member{name: token.(string)} // a key of an object, or the bytes were not valid
		if err := decoder.Decode(&m.value); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrMalformed, err)
		}
		if slices.ContainsFunc(members, func(other member) bool { return other.name == m.name }) {
			return nil, fmt.Errorf("member %q is there twice: %w", model.Line(m.name, maxName), ErrMalformed)
		}
		members = append(members, m)
	}
	return members, nil
}

func parseGap(members []member) (g Gap, err error) {
	var seen struct{ cause, from, to bool }
	for _, m := range members {
		switch m.name {
		case "cause":
			var name string
			name, err = text(m.value)
			g.Cause, seen.cause = Cause(name), true
		case "boot":
			g.Boot, err = boot(m.value)
		case "from_ms":
			g.From, err = moment(m.value)
			seen.from = true
		case "to_ms":
			g.To, err = moment(m.value)
			seen.to = true
		case "first_seq":
			g.FirstSeq, err = number(m.value)
		case "last_seq":
			g.LastSeq, err = number(m.value)
		case "frames":
			g.Frames, err = number(m.value)
		case "samples":
			g.Samples, err = number(m.value)
		case "text":
			g.Text, err = text(m.value)
		default:
			return Gap{}, fmt.Errorf("gap with a member %q: %w", model.Line(m.name, maxName), ErrMalformed)
		}
		if err != nil {
			return Gap{}, fmt.Errorf("%s of a gap: %w", m.name, err)
		}
	}
	if !seen.cause || !seen.from || !seen.to {
		return Gap{}, fmt.Errorf("gap without cause, from_ms or to_ms: %w", ErrMalformed)
	}
	return g, g.Check()
}

// text reads a string.
func text(raw json.RawMessage) (s string, err error) {
	if len(raw) == 0 || raw[0] != '"' {
		return "", fmt.Errorf("no string: %w", ErrMalformed)
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return "", fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return s, nil
}

// number reads a count: digits only, 1.0 and 1e3 are refused.
func number(raw json.RawMessage) (uint64, error) {
	n, err := strconv.ParseUint(string(raw), 10, 64)
	if err != nil || n > MaxCount {
		return 0, fmt.Errorf("number %.24s: %w", raw, ErrMalformed)
	}
	return n, nil
}

func moment(raw json.RawMessage) (model.Millis, error) {
	n, err := number(raw)
	return model.Millis(n), err
}

func boot(raw json.RawMessage) (model.BootID, error) {
	s, err := text(raw)
	if err != nil {
		return model.BootID{}, err
	}
	id, err := model.ParseBootID(s)
	if err != nil {
		return model.BootID{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return id, nil
}
