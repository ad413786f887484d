package frame

import "errors"

// Limits of the format. Encoders keep them, parsers refuse what is beyond.
const (
	// MaxRecord is the size of a whole record, envelope included, in bytes.
	// The frame of MaxColumns values of the worst kind is smaller.
	MaxRecord = 1 << 20
	// MaxPayload is the size of what a record carries, in bytes.
	MaxPayload = MaxRecord - maxEnvelope
	// MaxColumns is the number of columns of one schema. How many a worker is
	// granted is decided, and lower, elsewhere.
	MaxColumns = 1 << 16
	// MaxParts is the number of parts of one schema.
	MaxParts = 1 << 10
	// MaxPartColumns is the number of columns of one part.
	MaxPartColumns = 1 << 14
	// MaxPartText is the length of the names and label values of all series of
	// one part, those that repeat counted every time, in bytes. What is small
	// when encoded must not become huge when it is spelled out.
	MaxPartText = 4 << 20
	// MaxSinceKey is the number of delta frames that can follow a key frame.
	MaxSinceKey = 1<<20 - 1
	// MaxScale is the number of decimal digits after the point that a family
	// can declare.
	MaxScale = 9
	// MaxLabels is the number of labels of one series.
	MaxLabels = 32
	// MaxName is the length of a collector's, metric's or label's name, in bytes.
	MaxName = 256
	// MaxValue is the length of a label's value, in bytes.
	MaxValue = 4096
	// MaxHelp is the length of a family's help text, in bytes.
	MaxHelp = 1024
)

// The reasons for which bytes are refused. Every error of a parser or decoder
// of this package wraps exactly one of them and says where it happened.
var (
	// ErrShort: the bytes are the beginning of a record; more are needed.
	ErrShort = errors.New("record goes on")
	// ErrChecksum: the record was damaged on the way or at rest.
	ErrChecksum = errors.New("checksum does not match")
	// ErrVersion: another version of the format, or not this format at all.
	ErrVersion = errors.New("unknown format version")
	// ErrLimit: well-formed so far, but larger than a limit of this package.
	ErrLimit = errors.New("limit exceeded")
	// ErrMalformed: bytes that no encoder of this package writes.
	ErrMalformed = errors.New("malformed")
	// ErrInvalid: a part or schema whose content breaks a rule of the vocabulary.
	ErrInvalid = errors.New("invalid")
	// ErrSchema: a key frame of another schema than the decoder's.
	ErrSchema = errors.New("frame of another schema")
	// ErrBase: a delta frame whose predecessor the decoder does not hold.
	ErrBase = errors.New("delta against another frame")
)
