package store

import (
	"context"
	"log/slog"
)

// libraryLog is what the database logs to. What it calls information (every
// step of a replay, every compaction) is of no use to whoever runs the fleet:
// it becomes Debug. Warnings and errors stay what they are.
type libraryLog struct{ next slog.Handler }

var _ slog.Handler = libraryLog{}

// Enabled implements slog.Handler.
func (l libraryLog) Enabled(ctx context.Context, level slog.Level) bool {
	return l.next.Enabled(ctx, lowered(level))
}

// Handle implements slog.Handler.
func (l libraryLog) Handle(ctx context.Context, record slog.Record) error {
	record.Level = lowered(record.Level)
	return l.next.Handle(ctx, record)
}

// WithAttrs implements slog.Handler.
func (l libraryLog) WithAttrs(attrs []slog.Attr) slog.Handler {
	return libraryLog{l.next.WithAttrs(attrs)}
}

// WithGroup implements slog.Handler.
func (l libraryLog) WithGroup(name string) slog.Handler { return libraryLog{l.next.WithGroup(name)} }

// lowered is the level of a record of the library in our log.
func lowered(level slog.Level) slog.Level {
	if level >= slog.LevelInfo && level < slog.LevelWarn {
		return slog.LevelDebug
	}
	return level
}
