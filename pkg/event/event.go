package event

import "encoding/json"

// MaxSize is the size of the largest event, in bytes.
const MaxSize = 4096

// Type says what an event tells.
type Type string

// The types of events.
const (
	// TypeGap: samples are missing, and why.
	TypeGap Type = "gap"
	// TypeOther stands for all types that this release does not know.
	TypeOther Type = "other"
)

// Event is one event. What goes with its Type is set, all else is zero.
type Event struct {
	Type Type
	// Gap is set in an event of TypeGap.
	Gap *Gap
	// Name is what an event of TypeOther calls its type, and Raw the whole event
	// as it came.
	Name string
	Raw  []byte
}

// OfGap is the event that tells of a gap.
func OfGap(g Gap) Event { return Event{Type: TypeGap, Gap: &g} }

// Append appends the encoded event to dst. It makes what it writes acceptable to
// Parse: see Gap.Clean. An event without content, or one of TypeOther whose Raw
// Parse would not take, is a bug of the caller and panics.
func Append(dst []byte, e Event) []byte {
	switch {
	case e.Type == TypeGap && e.Gap != nil:
		return appendGap(dst, e.Gap.Clean())
	case e.Type == TypeOther:
		if parsed, err := Parse(e.Raw); err != nil || parsed.Type != TypeOther {
			panic("event: what is to be kept is no event")
		}
		return append(dst, e.Raw...)
	}
	panic("event: type " + string(e.Type) + " without what it tells")
}

// gapMembers are the members of a gap in the order in which they are written.
// Those that may be missing have the zero value then.
type gapMembers struct {
	Type     Type   `json:"type"`
	Cause    Cause  `json:"cause"`
	Boot     string `json:"boot,omitempty"`
	From     int64  `json:"from_ms"`
	To       int64  `json:"to_ms"`
	FirstSeq uint64 `json:"first_seq,omitempty"`
	LastSeq  uint64 `json:"last_seq,omitempty"`
	Frames   uint64 `json:"frames,omitempty"`
	Samples  uint64 `json:"samples,omitempty"`
	Text     string `json:"text,omitempty"`
}

func appendGap(dst []byte, g Gap) []byte {
	members := gapMembers{Type: TypeGap, Cause: g.Cause, From: int64(g.From), To: int64(g.To), FirstSeq: g.FirstSeq,
		LastSeq: g.LastSeq, Frames: g.Frames, Samples: g.Samples, Text: g.Text}
	if !g.Boot.IsZero() {
		members.Boot = g.Boot.String()
	}
	text, err := json.Marshal(members)
	if err != nil {
		panic("event: " + err.Error()) // numbers and strings always have a form
	}
	return append(dst, text...)
}
