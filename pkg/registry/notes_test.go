package registry

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What an operator reads: one line per change, strangers only when debugging.
func TestLog(t *testing.T) {
	dir := t.TempDir()
	lines := func(level slog.Level) (messages []string) {
		synctest.Test(t, func(t *testing.T) {
			var out bytes.Buffer
			r, err := Open(dir, DefaultConfig(), Deps{Logger: slog.New(slog.NewTextHandler(&out, &slog.HandlerOptions{Level: level}))})
			if err != nil {
				t.Fatal(err)
			}
			ask := func(host, addr string, v Verdict) {
				r.ProbeAck(ProbeAck{ID: testID(1), Host: hostNamed(host, addr), Source: netip.MustParseAddr(addr), Verdict: v})
				time.Sleep(time.Second)
			}
			ask("a", "10.0.0.1", Hold)
			ask("a", "10.0.0.1", Admit)
			time.Sleep(10 * time.Second)
			r.Contact(testID(1), time.Time{})
			ask("b", "10.0.0.2", Admit)
			ask("a", "10.0.0.1", Admit)
			time.Sleep(time.Minute)
			ask("a", "10.0.0.1", Admit)
			time.Sleep(time.Minute)
			ask("c", "10.0.0.1", Admit)
			r.Leave(testID(1))
			r.Forget(testID(1))
			if err := r.Close(); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(out.String()) {
				_, rest, _ := strings.Cut(line, "level=")
				level, rest, _ := strings.Cut(rest, " msg=")
				message, _, _ := strings.Cut(strings.TrimPrefix(rest, `"`), `"`)
				from, to := "", ""
				if _, rest, ok := strings.Cut(rest, "from="); ok {
					from, rest, _ = strings.Cut(rest, " to=")
					to, _, _ = strings.Cut(rest, " ")
				}
				messages = append(messages, strings.TrimSpace(level+" "+message+" "+from+" "+to))
			}
		})
		return messages
	}
	debug := []string{
		"INFO registry opened",
		"DEBUG worker changed state probed pending",
		"INFO worker changed state pending registered",
		"WARN two machines use one worker id",
		"INFO only one machine uses the worker id again",
		"INFO worker has a new host name or address",
		"INFO worker changed state registered left",
		"INFO worker forgotten",
	}
	if diff := cmp.Diff(debug, lines(slog.LevelDebug)); diff != "" {
		t.Errorf("debug log (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(append(debug[:1:1], debug[2:]...), lines(slog.LevelInfo)); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
}
