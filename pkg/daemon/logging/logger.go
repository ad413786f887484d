package logging

import (
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
)

// Options are what New needs besides the configuration.
type Options struct {
	// Name of the daemon; the journal files its records under it.
	Name string
	// Stderr takes text and JSON, and what the journal refuses.
	Stderr io.Writer
	// Now is the clock of the rate limit.
	Now func() time.Time
}

// Root is the root logger of a process. Level and limit can change while it is
// in use.
type Root struct {
	*slog.Logger
	level *slog.LevelVar
	limit *RateLimit
}

// New makes the root logger. Format auto asks the environment whether standard
// error leads to the journal.
func New(c Config, o Options) (*Root, error) {
	if c.Format == FormatAuto {
		c.Format = FormatText
		if toJournal, err := journal.StderrIsJournalStream(); err == nil && toJournal {
			c.Format = FormatJournal
		}
	}
	level := &slog.LevelVar{}
	var target slog.Handler
	switch c.Format {
	case FormatText:
		target = NewTextHandler(o.Stderr, level)
	case FormatJSON:
		target = slog.NewJSONHandler(o.Stderr, &slog.HandlerOptions{Level: level})
	case FormatJournal:
		target = newJournalHandler(o.Name, level, journal.Send, NewTextHandler(o.Stderr, level))
	default:
		return nil, fmt.Errorf("log format %v is unknown", c.Format)
	}
	limit := NewRateLimit(target, c.RepeatsPerMinute, o.Now)
	root := &Root{Logger: slog.New(limit), level: level, limit: limit}
	root.Apply(c)
	return root, nil
}

// Apply changes level and limit. The format stays as it was.
func (r *Root) Apply(c Config) {
	r.level.Set(slog.Level(c.Level))
	r.limit.SetBurst(c.RepeatsPerMinute)
}

// Close tells what the rate limit has left out so far. The logger may be used
// afterwards.
func (r *Root) Close() { r.limit.Flush() }
