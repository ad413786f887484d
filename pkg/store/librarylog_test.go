package store

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestTheLibrarysInformationIsForDebugging(t *testing.T) {
	f := func(least slog.Level, want ...string) {
		t.Helper()
		var text bytes.Buffer
		handler := slog.NewTextHandler(&text, &slog.HandlerOptions{Level: least,
			ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
				if a.Key == slog.TimeKey {
					return slog.Attr{}
				}
				return a
			}})
		log := slog.New(libraryLog{handler}).With("component", "tsdb").WithGroup("head")
		log.Debug("d", "n", 1)
		log.Info("i", "n", 2)
		log.Warn("w", "n", 3)
		log.Error("e", "n", 4)
		got := strings.Split(strings.TrimSpace(text.String()), "\n")
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("at level %v (-want +got):\n%s", least, diff)
		}
	}
	warn, failed := "level=WARN msg=w component=tsdb head.n=3", "level=ERROR msg=e component=tsdb head.n=4"
	f(slog.LevelInfo, warn, failed)
	f(slog.LevelDebug, "level=DEBUG msg=d component=tsdb head.n=1", "level=DEBUG msg=i component=tsdb head.n=2", warn, failed)
}

// TestOpeningAStoreIsQuiet: nobody needs to hear of it at every start.
func TestOpeningAStoreIsQuiet(t *testing.T) {
	var text bytes.Buffer
	config := DefaultConfig()
	config.Dir, config.MinFree = t.TempDir(), 0
	for range 2 { // the second one replays
		s, err := Open(config, Deps{Log: slog.New(slog.NewTextHandler(&text, nil)), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if text.Len() > 0 {
		t.Errorf("logged:\n%s", &text)
	}
}
