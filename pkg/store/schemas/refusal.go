package schemas

import (
	"errors"
	"fmt"
)

// Why something is refused. What is refused leaves the dictionary as it was.
// Parts and schemas that do not parse are refused with the reasons of package frame.
var (
	// ErrUnknownPart: a schema names a part that is not there.
	ErrUnknownPart = errors.New("unknown part")
	// ErrUnknownSchema: a span of a schema that is not there.
	ErrUnknownSchema = errors.New("unknown schema")
	// ErrUnknownSource: a span of a source that is not there, or forgotten: add
	// it again.
	ErrUnknownSource = errors.New("unknown source")
	// ErrShared: a schema has one series in two of its parts.
	ErrShared = errors.New("series in two parts")
	// ErrLabels: labels of a host that are not valid.
	ErrLabels = errors.New("invalid host labels")
	// ErrTime: a time millions of years away.
	ErrTime = errors.New("no such time")
	// ErrLimit: more than the configuration allows. The error is a *LimitError.
	ErrLimit = errors.New("limit reached")
	// ErrVersion: a record of another version or kind.
	ErrVersion = errors.New("unknown version or kind of record")
	// ErrMalformed: a record that no version of this package writes.
	ErrMalformed = errors.New("malformed record")
)

// LimitError says which limit was reached. It is ErrLimit.
type LimitError struct {
	Limit string // a key of Config, "shapes" or "numbers"
	Most  int64
}

func (e *LimitError) Error() string {
	return fmt.Sprintf("schemas: limit %s of %d reached", e.Limit, e.Most)
}

// Is makes errors.Is(err, ErrLimit) true.
func (e *LimitError) Is(target error) bool { return target == ErrLimit }
