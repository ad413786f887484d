package durable

import (
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
)

var (
	// ErrLocked says that another log, mostly of another process, has the folder.
	ErrLocked = errors.New("in use by another process (is the daemon already running?)")
	// ErrNewerFormat says that a newer release wrote a segment. It is refused,
	// and everything left as it is.
	ErrNewerFormat = errors.New("written by a newer release")
	// ErrFull says that the disk, or its owner's share of it, is full. What was
	// appended before stays readable; try again when there is room.
	ErrFull = errors.New("disk is full")
	// ErrDisk says that the disk does not do what it should, other than for want of
	// room. What was appended before stays readable.
	ErrDisk = errors.New("disk error")
	// ErrTooLarge says that a record has more than MaxRecord bytes.
	ErrTooLarge = fmt.Errorf("record of more than %d bytes", MaxRecord)
	// ErrDropped says that no record of that index is there: it was dropped, or never
	// was.
	ErrDropped = errors.New("record is not there")
	// ErrClosed says that the log was closed.
	ErrClosed = errors.New("log is closed")
)

// diskError says what was attempted, on what, and marks the error with ErrFull or
// ErrDisk.
func diskError(what, name string, err error) error {
	kind := ErrDisk
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		kind = ErrFull
	}
	return fmt.Errorf("%s %q: %w: %w", what, name, kind, err)
}

// Range is a range of records: those of index First up to, not including, End.
type Range struct{ First, End uint64 }

// Count is the number of records in the range.
func (r Range) Count() uint64 { return r.End - r.First }

// Damage is a stretch of bytes that is not what was written. It costs the records
// that it hit and no others.
type Damage struct {
	// File is the path of the segment.
	File string
	// Offset is where the damage begins, in bytes; Length is how many bytes are
	// passed over to come to the next unharmed record, or to the end.
	Offset, Length int64
	// Why says what is wrong there.
	Why string
	// Lost are the records that were there. End is 0 where that is not known: of a
	// torn tail, and of a segment whose header cannot be read.
	Lost Range
	// Torn says that the bytes are at the end of the log and were never known to
	// be on disk, as a power cut leaves them. No record that Sync covered is
	// among them.
	Torn bool
	// Aside is the path of the file to which the bytes were moved, "" if they are
	// where they were.
	Aside string
}

// Damaged describes a record that is unharmed, and of no use to whoever reads it,
// as damage.
func (l *Log) Damaged(r Record, why string) *Damage {
	return &Damage{
		File: filepath.Join(l.dir, segmentName(r.At.Segment)), Offset: r.At.Offset, Length: int64(headSize + len(r.Data)),
		Why: why, Lost: Range{r.Index, r.Index + 1},
	}
}

func (d *Damage) Error() string {
	text := fmt.Sprintf("%q, offset %d: %s; %d bytes", d.File, d.Offset, d.Why, d.Length)
	switch {
	case d.Lost.End == 0:
	case d.Lost.Count() == 1:
		text += fmt.Sprintf(", record %d is lost", d.Lost.First)
	case d.Lost.Count() > 1:
		text += fmt.Sprintf(", records %d to %d are lost", d.Lost.First, d.Lost.End-1)
	default:
		text += ", no record is lost"
	}
	if d.Aside != "" {
		text += fmt.Sprintf("; set aside as %q", d.Aside)
	}
	return text
}
