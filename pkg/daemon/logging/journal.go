package logging

import (
	"context"
	"log/slog"
	"strings"

	"github.com/coreos/go-systemd/v22/journal"
)

// journalHandler sends records to the systemd journal. MESSAGE is the readable
// line, as journalctl shows nothing else by default; every attribute is a
// field of its own besides (worker -> WORKER, peer.addr -> PEER_ADDR), so that
// `journalctl WORKER=...` finds it.
type journalHandler struct {
	name     string
	level    slog.Leveler
	scope    scope
	send     func(message string, priority journal.Priority, fields map[string]string) error
	fallback slog.Handler // takes what the journal refuses
}

func newJournalHandler(name string, level slog.Leveler,
	send func(string, journal.Priority, map[string]string) error, fallback slog.Handler) *journalHandler {
	return &journalHandler{name: name, level: level, send: send, fallback: fallback}
}

func (h *journalHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

func (h *journalHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	with.scope = h.scope.withAttrs(attrs)
	with.fallback = h.fallback.WithAttrs(attrs)
	return &with
}

func (h *journalHandler) WithGroup(name string) slog.Handler {
	with := *h
	with.scope = h.scope.withGroup(name)
	with.fallback = h.fallback.WithGroup(name)
	return &with
}

func (h *journalHandler) Handle(ctx context.Context, record slog.Record) error {
	pairs := h.scope.all(record)
	fields := map[string]string{"SYSLOG_IDENTIFIER": h.name}
	for _, p := range pairs {
		fields[fieldName(p.key)] = formatValue(p.value)
	}
	message := string(appendMessage(nil, record.Message, pairs))
	if err := h.send(message, priorityOf(record.Level), fields); err != nil {
		return h.fallback.Handle(ctx, record)
	}
	return nil
}

func priorityOf(level slog.Level) journal.Priority {
	switch {
	case level >= slog.LevelError:
		return journal.PriErr
	case level >= slog.LevelWarn:
		return journal.PriWarning
	case level >= slog.LevelInfo:
		return journal.PriInfo
	}
	return journal.PriDebug
}

// fieldName turns an attribute key into a field name of the journal: capitals,
// digits and underscores, a capital first, 64 bytes at most (systemd's
// JOURNAL_NATIVE_PROTOCOL). Names with a meaning to the journal are kept out of
// the attributes' reach.
func fieldName(key string) string {
	const longest = 64
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z' || r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, key)
	switch name {
	case "MESSAGE", "MESSAGE_ID", "PRIORITY", "ERRNO", "DOCUMENTATION", "TID", "UNIT", "USER_UNIT",
		"CODE_FILE", "CODE_LINE", "CODE_FUNC", "INVOCATION_ID", "USER_INVOCATION_ID", "OBJECT_PID":
		name = "X_" + name
	}
	if name == "" || name[0] < 'A' || name[0] > 'Z' || strings.HasPrefix(name, "SYSLOG_") || strings.HasPrefix(name, "COREDUMP_") {
		name = "X_" + name
	}
	return name[:min(len(name), longest)]
}
