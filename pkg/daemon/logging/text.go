package logging

import (
	"context"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
)

// clock is the short time stamp of text lines: local time of day.
const clock = "15:04:05.000"

// TextHandler writes a line for each record that a person at a terminal reads
// with ease:
//
//	15:04:05.000 WARN  discovery: bad packet reason=oversized addr=192.0.2.7:10300
//
// The component comes first, values are quoted where they need it, and no
// record can smuggle in a line break. It is safe for concurrent use; a line is
// one write.
type TextHandler struct {
	level slog.Leveler
	scope scope
	out   *lockedWriter
}

type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer // guarded by mu
}

// NewTextHandler makes a handler that writes records of at least level to w.
func NewTextHandler(w io.Writer, level slog.Leveler) *TextHandler {
	return &TextHandler{level: level, out: &lockedWriter{w: w}}
}

// Enabled implements slog.Handler.
func (h *TextHandler) Enabled(_ context.Context, level slog.Level) bool {
	return level >= h.level.Level()
}

// WithAttrs implements slog.Handler.
func (h *TextHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &TextHandler{level: h.level, scope: h.scope.withAttrs(attrs), out: h.out}
}

// WithGroup implements slog.Handler.
func (h *TextHandler) WithGroup(name string) slog.Handler {
	return &TextHandler{level: h.level, scope: h.scope.withGroup(name), out: h.out}
}

// Handle implements slog.Handler.
func (h *TextHandler) Handle(_ context.Context, record slog.Record) error {
	line := make([]byte, 0, 256)
	if !record.Time.IsZero() {
		line = record.Time.AppendFormat(line, clock)
		line = append(line, ' ')
	}
	level := record.Level.String()
	line = append(line, level...)
	for range max(1, len("ERROR ")-len(level)) {
		line = append(line, ' ')
	}
	line = appendMessage(line, record.Message, h.scope.all(record))
	line = append(line, '\n')
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	_, err := h.out.w.Write(line)
	return err
}

// appendMessage writes "component: message key=value key=value".
func appendMessage(line []byte, message string, pairs []pair) []byte {
	for _, p := range pairs {
		if p.key == logkey.Component {
			line = appendPlain(line, p.value.String())
			line = append(line, ": "...)
			break
		}
	}
	line = appendPlain(line, message)
	named := false
	for _, p := range pairs {
		if p.key == logkey.Component && !named {
			named = true
			continue
		}
		line = append(line, ' ')
		line = appendQuoted(line, p.key)
		line = append(line, '=')
		line = appendQuoted(line, formatValue(p.value))
	}
	return line
}

// formatValue is the text of a value; times are those of RFC 3339.
func formatValue(v slog.Value) string {
	if v.Kind() == slog.KindTime {
		return v.Time().Format(time.RFC3339Nano)
	}
	return v.String()
}

// appendPlain writes text as it is, as long as nothing in it could be taken
// for something else by a terminal or a reader of lines.
func appendPlain(line []byte, text string) []byte {
	if strings.IndexFunc(text, unprintable) < 0 && utf8.ValidString(text) {
		return append(line, text...)
	}
	return strconv.AppendQuote(line, text)
}

// appendQuoted quotes text that would not be one word otherwise.
func appendQuoted(line []byte, text string) []byte {
	if text == "" || strings.ContainsAny(text, " =\"") {
		return strconv.AppendQuote(line, text)
	}
	return appendPlain(line, text)
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }
