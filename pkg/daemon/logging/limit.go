package logging

import (
	"cmp"
	"log/slog"
	"slices"
	"time"
)

const (
	// window is the time in which repeats are counted together.
	window = time.Minute
	// maxKeys bounds the table of messages. Messages are constants of the
	// program, so it is never full unless somebody puts data into one.
	maxKeys = 1024
)

// repeatKey says which records are repeats of one another. The zero component
// and message stand for whatever finds no room in the table.
type repeatKey struct {
	level     slog.Level
	component string
	message   string
}

// repeats is one window of one key.
type repeats struct {
	until      time.Time
	passed     int
	suppressed uint64
}

// summary tells how many repeats a window left out.
type summary struct {
	key        repeatKey
	suppressed uint64
}

// limiter decides which records pass. It has no clock and no lock of its own.
type limiter struct {
	burst int // per window and key; 0 lets everything pass
	keys  map[repeatKey]*repeats
	due   time.Time // when the first window of keys is over
}

// admit decides on one record. The first burst records of a window pass. When
// the table is full, records of one level share what one key has: so an error
// that is new then may be left out, but never all of them, nor uncounted.
// Windows that are over must have been rolled before.
func (l *limiter) admit(key repeatKey, now time.Time) bool {
	if l.burst <= 0 || key.level < slog.LevelInfo {
		return true
	}
	r := l.keys[key]
	if r == nil && len(l.keys) >= maxKeys {
		key = repeatKey{level: key.level}
		r = l.keys[key]
	}
	if r == nil {
		r = &repeats{until: now.Add(window)}
		l.keys[key] = r
		if l.due.IsZero() || r.until.Before(l.due) {
			l.due = r.until
		}
	}
	if r.passed < l.burst {
		r.passed++
		return true
	}
	r.suppressed++
	return false
}

// roll ends the windows that are over and tells what they left out, ordered by
// component and message.
func (l *limiter) roll(now time.Time) []summary {
	if now.Before(l.due) {
		return nil
	}
	return l.end(func(r *repeats) bool { return !now.Before(r.until) })
}

// end ends the windows for which over is true.
func (l *limiter) end(over func(*repeats) bool) []summary {
	var told []summary
	l.due = time.Time{}
	for key, r := range l.keys {
		if !over(r) {
			if l.due.IsZero() || r.until.Before(l.due) {
				l.due = r.until
			}
			continue
		}
		if r.suppressed > 0 {
			told = append(told, summary{key, r.suppressed})
		}
		delete(l.keys, key)
	}
	slices.SortFunc(told, func(a, b summary) int {
		return cmp.Or(cmp.Compare(a.key.component, b.key.component), cmp.Compare(a.key.message, b.key.message),
			cmp.Compare(a.key.level, b.key.level))
	})
	return told
}
