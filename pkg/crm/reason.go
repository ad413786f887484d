package crm

import (
	"fmt"
	"strconv"
)

// Reason says why a packet was refused. The set is closed, so that refused
// packets can be counted in an array of NumReasons.
type Reason uint8

// The reasons, in the order in which they are looked for.
const (
	// TooLarge: more than MaxPacket bytes.
	TooLarge Reason = iota
	// NotJSON: empty, cut off, not UTF-8, or with something behind the value.
	NotJSON
	// TooDeep: arrays and objects nested deeper than any known spelling.
	TooDeep
	// ForbiddenTag: a jsonpickle tag that would run or load something, or a
	// known one used as no known peer does.
	ForbiddenTag
	// UnknownClass: a class path outside the closed list.
	UnknownClass
	// Reference: a py/id. No packet needs one, and we do not follow them.
	Reference
	// Unsupported: a well-known packet of the legacy system that has no place
	// here: QueryAck, ReportInit, the classes of vrmjobs 1, a MONITOR host.
	Unsupported
	// TypeMismatch: members that contradict each other: a type that is not the
	// class's, an info of another class, two package families in one packet.
	TypeMismatch
	// MissingMember: a member is not there.
	MissingMember
	// WrongType: a member is there with another JSON type.
	WrongType
	// BadValue: right JSON type, impossible value.
	BadValue
	// BadExtension: the member "cloudless" is wrong in any of these ways.
	BadExtension

	// NumReasons is how many reasons there are.
	NumReasons = iota
)

// String gives the reason's name as used in counters, like "not_json".
func (r Reason) String() string {
	names := [NumReasons]string{TooLarge: "too_large", NotJSON: "not_json", TooDeep: "too_deep",
		ForbiddenTag: "forbidden_tag", UnknownClass: "unknown_class", Reference: "reference",
		Unsupported: "unsupported", TypeMismatch: "type_mismatch", MissingMember: "missing_member",
		WrongType: "wrong_type", BadValue: "bad_value", BadExtension: "bad_extension"}
	if int(r) < len(names) {
		return names[r]
	}
	return fmt.Sprintf("reason(%d)", uint8(r))
}

// Error is the only type of error that Parse and Append return.
type Error struct {
	Reason Reason
	// At is the member concerned, like "info.ports[1].port", or "".
	At string
	// Detail says more in words. It may quote the packet, shortened.
	Detail string
}

func (e *Error) Error() string {
	text := "crm packet: " + e.Reason.String()
	if e.At != "" {
		text += " at " + e.At
	}
	if e.Detail != "" {
		text += ": " + e.Detail
	}
	return text
}

func refuse(reason Reason, at, format string, args ...any) *Error {
	return &Error{Reason: reason, At: at, Detail: fmt.Sprintf(format, args...)}
}

// inside says in which member the place of the error is. The name comes from
// the packet and may be anything.
func (e *Error) inside(name string) *Error {
	if checkText(BadValue, "", name, 64) != nil {
		name = strconv.QuoteToASCII(clip(name))
	}
	if e.At != "" && e.At[0] != '[' {
		name += "."
	}
	e.At = name + e.At
	return e
}

// clip shortens foreign text for an error.
func clip(text string) string {
	const most = 64
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}
