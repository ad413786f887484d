package model

import (
	"encoding/hex"
	"fmt"
)

// WorkerID names one worker for life: 128 random bits, made once when the
// worker's identity is created. It survives renaming and re-addressing of the
// host. The zero value means "no worker". Comparable; usable as a map key.
type WorkerID [16]byte

// BootID names one run of sequence numbers of a worker: it is new whenever the
// worker starts counting its records from one again. A record of the fleet is
// identified by (WorkerID, BootID, sequence number).
type BootID [16]byte

// WorkerIDFrom turns 16 random bytes into an id by setting the version and
// variant bits of a random UUID (RFC 9562, section 5.4).
func WorkerIDFrom(random [16]byte) WorkerID { return WorkerID(uuid4(random)) }

// BootIDFrom turns 16 random bytes into a boot id, as WorkerIDFrom does.
func BootIDFrom(random [16]byte) BootID { return BootID(uuid4(random)) }

// ParseWorkerID reads the text form, 8-4-4-4-12 hexadecimal digits of either
// case. The zero id is refused: it means "no worker".
func ParseWorkerID(text string) (WorkerID, error) {
	raw, err := parseUUID(text)
	if err != nil {
		return WorkerID{}, fmt.Errorf("worker id %q: %w", clip(text), err)
	}
	return WorkerID(raw), nil
}

// ParseBootID reads the text form, as ParseWorkerID does.
func ParseBootID(text string) (BootID, error) {
	raw, err := parseUUID(text)
	if err != nil {
		return BootID{}, fmt.Errorf("boot id %q: %w", clip(text), err)
	}
	return BootID(raw), nil
}

func (id WorkerID) String() string { return formatUUID(id) }

// IsZero reports whether id is the zero value, "no worker".
func (id WorkerID) IsZero() bool { return id == WorkerID{} }

// MarshalText implements encoding.TextMarshaler.
func (id WorkerID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *WorkerID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseWorkerID(string(text))
	return err
}

func (id BootID) String() string { return formatUUID(id) }

// IsZero reports whether id is the zero value, "no boot".
func (id BootID) IsZero() bool { return id == BootID{} }

// MarshalText implements encoding.TextMarshaler.
func (id BootID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (id *BootID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseBootID(string(text))
	return err
}

const uuidLength = 36

func uuid4(b [16]byte) [16]byte {
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return b
}

func formatUUID(b [16]byte) string {
	var text [uuidLength]byte
	hex.Encode(text[0:8], b[0:4])
	hex.Encode(text[9:13], b[4:6])
	hex.Encode(text[14:18], b[6:8])
	hex.Encode(text[19:23], b[8:10])
	hex.Encode(text[24:36], b[10:16])
	text[8], text[13], text[18], text[23] = '-', '-', '-', '-'
	return string(text[:])
}

func parseUUID(text string) (raw [16]byte, err error) {
	if len(text) != uuidLength || text[8] != '-' || text[13] != '-' || text[18] != '-' || text[23] != '-' {
		return raw, fmt.Errorf("want 36 characters like 78f6ac6d-ec8d-44cf-abc8-584e4255e9d3")
	}
	digits := text[0:8] + text[9:13] + text[14:18] + text[19:23] + text[24:36]
	if _, err := hex.Decode(raw[:], []byte(digits)); err != nil {
		return [16]byte{}, err
	}
	if raw == [16]byte{} {
		return raw, fmt.Errorf("all zero")
	}
	return raw, nil
}

// clip shortens foreign text for an error message.
func clip(text string) string {
	const most = 64
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}
