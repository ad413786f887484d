package logging

import (
	"fmt"
	"log/slog"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Config says what is logged, and how.
type Config struct {
	// Level is the least level that is logged: debug, info, warn or error.
	// Debug tells every event and is meant for minutes, not for months; above
	// info a state change leaves no trace.
	Level Level `toml:"level"`
	// Format is auto, text, json or journal. Auto is journal when standard
	// error is connected to the systemd journal, and text otherwise.
	Format Format `toml:"format"`
	// RepeatsPerMinute is how often one message of one component may appear in
	// a minute; what is beyond is counted and told in one line. Higher keeps
	// more details of a busy minute, lower keeps the log small under attack.
	// 0 logs everything. Debug records are not limited.
	RepeatsPerMinute int `toml:"repeats_per_minute"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{Level: LevelInfo, Format: FormatAuto, RepeatsPerMinute: 30}
}

// Validate names the field that is wrong (model.FieldError).
func (c Config) Validate() error {
	return model.FieldAtLeast("repeats_per_minute", c.RepeatsPerMinute, 0)
}

// Level is a slog.Level with the names debug, info, warn and error.
type Level slog.Level

// The levels of a configuration.
const (
	LevelDebug = Level(slog.LevelDebug)
	LevelInfo  = Level(slog.LevelInfo)
	LevelWarn  = Level(slog.LevelWarn)
	LevelError = Level(slog.LevelError)
)

func (l Level) String() string { return strings.ToLower(slog.Level(l).String()) }

// MarshalText implements encoding.TextMarshaler.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (l *Level) UnmarshalText(text []byte) error {
	for _, level := range []Level{LevelDebug, LevelInfo, LevelWarn, LevelError} {
		if level.String() == string(text) {
			*l = level
			return nil
		}
	}
	return fmt.Errorf("level %.20q: want debug, info, warn or error", text)
}

// Format is how records are written.
type Format uint8

// The formats.
const (
	FormatAuto Format = iota
	FormatText
	FormatJSON
	FormatJournal
)

var formatNames = [...]string{FormatAuto: "auto", FormatText: "text", FormatJSON: "json", FormatJournal: "journal"}

func (f Format) String() string {
	if int(f) < len(formatNames) {
		return formatNames[f]
	}
	return fmt.Sprintf("Format(%d)", f)
}

// MarshalText implements encoding.TextMarshaler.
func (f Format) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (f *Format) UnmarshalText(text []byte) error {
	for i, name := range formatNames {
		if name == string(text) {
			*f = Format(i)
			return nil
		}
	}
	return fmt.Errorf("format %.20q: want auto, text, json or journal", text)
}
