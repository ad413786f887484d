package logging

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/coreos/go-systemd/v22/journal"
	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
)

func record(level slog.Level, message string, args ...any) slog.Record {
	r := slog.NewRecord(time.Date(2026, 1, 2, 3, 4, 5, 678e6, time.Local), level, message, 0)
	r.Add(args...)
	return r
}

func TestTextLines(t *testing.T) {
	for _, test := range []struct {
		record slog.Record
		want   string
	}{
		{record(slog.LevelInfo, "worker registered", "worker", "w1"), "03:04:05.678 INFO  worker registered worker=w1\n"},
		{record(slog.LevelError, "x", "n", 5, "component", "spool"), "03:04:05.678 ERROR spool: x n=5\n"},
		{record(slog.LevelDebug+2, "x"), "03:04:05.678 DEBUG+2 x\n"},
		{record(slog.LevelWarn, "x", "err", errors.New("open a: no"), "d", 90*time.Second), "03:04:05.678 WARN  x err=\"open a: no\" d=1m30s\n"},
		{record(slog.LevelWarn, "x", "t", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), "empty", "", "eq", "a=b"),
			"03:04:05.678 WARN  x t=2026-01-01T00:00:00Z empty=\"\" eq=\"a=b\"\n"},
		{record(slog.LevelWarn, "x", slog.Group("peer", "addr", "a", slog.Group("tls", "v", 3))), "03:04:05.678 WARN  x peer.addr=a peer.tls.v=3\n"},
		// What a peer sends can forge neither lines nor terminal commands.
		{record(slog.LevelWarn, "x", "name", "a\n03:04:05 ERROR forged", "esc", "\x1b[31m", "bad", "\xff", "bidi", "a\u202eb"),
			"03:04:05.678 WARN  x name=\"a\\n03:04:05 ERROR forged\" esc=\"\\x1b[31m\" bad=\"\\xff\" bidi=\"a\\u202eb\"\n"},
		{record(slog.LevelWarn, "x\ny", "k y", 1), "03:04:05.678 WARN  \"x\\ny\" \"k y\"=1\n"},
	} {
		var out bytes.Buffer
		if err := NewTextHandler(&out, slog.LevelDebug).Handle(context.Background(), test.record); err != nil {
			t.Errorf("%s: %v", test.record.Message, err)
		}
		if out.String() != test.want {
			t.Errorf("got  %swant %s", out.String(), test.want)
		}
	}
}

// TestHandlersKeepTheContract runs the conformance suite of the standard
// library on the text behind the rate limit.
func TestHandlersKeepTheContract(t *testing.T) {
	var out bytes.Buffer
	slogtest.Run(t, func(*testing.T) slog.Handler {
		out.Reset()
		return NewRateLimit(NewTextHandler(&out, slog.LevelInfo), 0, time.Now)
	}, func(t *testing.T) map[string]any {
		return parseLine(t, strings.TrimSuffix(out.String(), "\n"))
	})
}

// parseLine reads a line of simple words back into nested groups.
func parseLine(t *testing.T, line string) map[string]any {
	parsed := map[string]any{}
	fields := strings.Fields(line)
	if _, err := time.Parse(clock, fields[0]); err == nil {
		parsed[slog.TimeKey], fields = fields[0], fields[1:]
	}
	parsed[slog.LevelKey] = fields[0]
	var words []string
	for _, field := range fields[1:] {
		key, value, isAttr := strings.Cut(field, "=")
		if !isAttr {
			words = append(words, field)
			continue
		}
		group, names := parsed, strings.Split(key, ".")
		for _, name := range names[:len(names)-1] {
			if group[name] == nil {
				group[name] = map[string]any{}
			}
			group = group[name].(map[string]any)
		}
		group[names[len(names)-1]] = value
	}
	parsed[slog.MessageKey] = strings.Join(words, " ")
	return parsed
}

func TestJournalRecords(t *testing.T) {
	type sent struct {
		Message  string
		Priority journal.Priority
		Fields   map[string]string
	}
	var got []sent
	var fail error
	send := func(message string, priority journal.Priority, fields map[string]string) error {
		got = append(got, sent{message, priority, fields})
		return fail
	}
	var fallback bytes.Buffer
	h := newJournalHandler("workerd", slog.LevelDebug, send, NewTextHandler(&fallback, slog.LevelDebug))
	log := slog.New(h).With(logkey.Component, "stream")
	log.Info("connected", logkey.Addr, "192.0.2.1:9090", "MESSAGE", "forged", "priority", 0, "_UID", 0, "1st", "a")
	log.WithGroup("peer").Warn("closed", "err", errors.New("two\nlines"), strings.Repeat("k", 100), 1)
	log.Error("broken")
	log.Debug("detail", "at", time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	want := []sent{
		{"stream: connected addr=192.0.2.1:9090 MESSAGE=forged priority=0 _UID=0 1st=a", journal.PriInfo, map[string]string{
			"SYSLOG_IDENTIFIER": "workerd", "COMPONENT": "stream", "ADDR": "192.0.2.1:9090", "X_MESSAGE": "forged", "X_PRIORITY": "0", "X__UID": "0", "X_1ST": "a"}},
		{"stream: closed peer.err=\"two\\nlines\" peer." + strings.Repeat("k", 100) + "=1", journal.PriWarning, map[string]string{
			"SYSLOG_IDENTIFIER": "workerd", "COMPONENT": "stream", "PEER_ERR": "two\nlines", "PEER_" + strings.Repeat("K", 59): "1"}},
		{"stream: broken", journal.PriErr, map[string]string{"SYSLOG_IDENTIFIER": "workerd", "COMPONENT": "stream"}},
		{"stream: detail at=2026-01-01T00:00:00Z", journal.PriDebug, map[string]string{
			"SYSLOG_IDENTIFIER": "workerd", "COMPONENT": "stream", "AT": "2026-01-01T00:00:00Z"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("sent (-want +got):\n%s", diff)
	}
	if fallback.Len() > 0 {
		t.Errorf("the journal took all, but standard error got %q", fallback.String())
	}
	fail = errors.New("no journal")
	log.WithGroup("g").Warn("closed", "n", 1)
	if got := lines(&fallback); len(got) != 1 || got[0] != "WARN  stream: closed g.n=1" {
		t.Errorf("standard error got %q, want the record that the journal refused", got)
	}
}

func TestFieldNamesAreOnesThatTheJournalTakes(t *testing.T) {
	for _, key := range []string{"", "_", "é", "a.b", "syslog_identifier", "object_pid", "coredump_x", strings.Repeat("9", 100), "\n", "A=B"} {
		name := fieldName(key)
		if len(name) == 0 || len(name) > 64 || name[0] < 'A' || name[0] > 'Z' || strings.HasPrefix(name, "SYSLOG_") ||
			strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") != "" {
			t.Errorf("attribute %s becomes field %s", strconv.Quote(key), strconv.Quote(name))
		}
	}
}

func TestConfigTexts(t *testing.T) {
	for _, text := range []string{"debug", "info", "warn", "error"} {
		var l Level
		if err := l.UnmarshalText([]byte(text)); err != nil || l.String() != text {
			t.Errorf("level %s: read as %v, %v", text, l, err)
		}
	}
	for _, text := range []string{"auto", "text", "json", "journal"} {
		var f Format
		if err := f.UnmarshalText([]byte(text)); err != nil || f.String() != text {
			t.Errorf("format %s: read as %v, %v", text, f, err)
		}
	}
	if err := new(Level).UnmarshalText([]byte("INFO")); err == nil {
		t.Error("level INFO was taken")
	}
	if err := new(Format).UnmarshalText([]byte("xml")); err == nil {
		t.Error("format xml was taken")
	}
	if err := DefaultConfig().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	if err := (Config{RepeatsPerMinute: -1}).Validate(); err == nil {
		t.Error("a negative limit was taken")
	}
}
