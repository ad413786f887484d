package logging

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
)

// RateLimit is a slog.Handler that bounds repeats. Records of one level,
// component and message are repeats of one another; the first so many in a
// minute pass, and when the minute is over one record with the same message
// tells how many were left out:
//
//	15:04:05.000 WARN  discovery: bad packet suppressed=123
//
// It works only because messages are constants and what varies is in the
// attributes. It is safe for concurrent use.
type RateLimit struct {
	next      slog.Handler
	component string // "" until With(component)
	grouped   bool   // attributes no longer stand at the top
	shared    *limitState
}

// limitState is what all handlers derived from one share.
type limitState struct {
	base slog.Handler // takes the summaries
	now  func() time.Time

	mu    sync.Mutex // guards what follows
	limit limiter
	timer *time.Timer // runs while something is left out
}

// NewRateLimit bounds what reaches next to burst repeats a minute; 0 means no
// bound. now is the clock.
func NewRateLimit(next slog.Handler, burst int, now func() time.Time) *RateLimit {
	state := &limitState{base: next, now: now}
	state.limit = limiter{burst: burst, keys: map[repeatKey]*repeats{}}
	return &RateLimit{next: next, shared: state}
}

// SetBurst changes the bound from the next record on.
func (h *RateLimit) SetBurst(burst int) {
	h.shared.mu.Lock()
	defer h.shared.mu.Unlock()
	h.shared.limit.burst = burst
}

// Flush tells at once what has been left out so far.
func (h *RateLimit) Flush() {
	s := h.shared
	s.mu.Lock()
	if s.timer != nil {
		s.timer.Stop()
		s.timer = nil
	}
	over := s.limit.end(func(*repeats) bool { return true })
	s.mu.Unlock()
	s.tell(over)
}

// Enabled implements slog.Handler.
func (h *RateLimit) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

// WithAttrs implements slog.Handler.
func (h *RateLimit) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.next = h.next.WithAttrs(attrs)
	for _, a := range attrs {
		if a.Key == logkey.Component && !h.grouped {
			with.component = a.Value.Resolve().String()
		}
	}
	return &with
}

// WithGroup implements slog.Handler.
func (h *RateLimit) WithGroup(name string) slog.Handler {
	with := *h
	with.next = h.next.WithGroup(name)
	with.grouped = h.grouped || name != ""
	return &with
}

// Handle implements slog.Handler.
func (h *RateLimit) Handle(ctx context.Context, record slog.Record) error {
	key := repeatKey{record.Level, h.component, record.Message}
	if h.component == "" && !h.grouped {
		record.Attrs(func(a slog.Attr) bool {
			if a.Key == logkey.Component {
				key.component = a.Value.Resolve().String()
			}
			return a.Key != logkey.Component
		})
	}
	if !h.shared.admit(key) {
		return nil
	}
	return h.next.Handle(ctx, record)
}

func (s *limitState) admit(key repeatKey) bool {
	now := s.now()
	s.mu.Lock()
	over := s.limit.roll(now)
	admitted := s.limit.admit(key, now)
	if !admitted && s.timer == nil {
		s.timer = time.AfterFunc(s.limit.due.Sub(now), s.expire)
	}
	s.mu.Unlock()
	s.tell(over)
	return admitted
}

// expire runs when a window is over, on the timer's goroutine, and again until
// nothing waits to be told.
func (s *limitState) expire() {
	now := s.now()
	s.mu.Lock()
	over := s.limit.roll(now)
	if s.timer != nil {
		s.timer = nil
		if len(s.limit.keys) > 0 {
			s.timer = time.AfterFunc(max(s.limit.due.Sub(now), time.Millisecond), s.expire)
		}
	}
	s.mu.Unlock()
	s.tell(over)
}

// tell writes the summaries. No lock is held: a slow log must not hold up
// those who decide.
func (s *limitState) tell(over []summary) {
	ctx := context.Background()
	for _, one := range over {
		message := one.key.message
		if message == "" {
			message = "other messages"
		}
		if !s.base.Enabled(ctx, one.key.level) {
			continue
		}
		record := slog.NewRecord(s.now(), one.key.level, message, 0)
		if one.key.component != "" {
			record.AddAttrs(slog.String(logkey.Component, one.key.component))
		}
		record.AddAttrs(slog.Uint64(logkey.Suppressed, one.suppressed))
		_ = s.base.Handle(ctx, record) // nowhere to report a log that fails
	}
}
