package logging

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
)

// lines returns what was written to b, one string a line, without the times.
func lines(b *bytes.Buffer) []string {
	var got []string
	for line := range strings.Lines(b.String()) {
		got = append(got, strings.TrimSpace(line[len(clock)+1:]))
	}
	b.Reset()
	return got
}

func TestRateLimitTellsWhatItLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		limit := NewRateLimit(NewTextHandler(&out, slog.LevelInfo), 2, time.Now)
		log := slog.New(limit).With(logkey.Component, "discovery", "port", 10300)
		for i := range 10 {
			log.Warn("bad packet", "size", i)
			slog.New(limit).Warn("bad packet", logkey.Component, "discovery", "size", i)
			log.WithGroup("peer").Warn("bad packet", "size", i)
		}
		want := []string{
			"WARN  discovery: bad packet port=10300 size=0",
			"WARN  discovery: bad packet size=0",
		}
		if diff := cmp.Diff(want, lines(&out)); diff != "" {
			t.Errorf("first minute (-want +got):\n%s", diff)
		}
		time.Sleep(window - time.Second)
		log.Error("disk full")
		time.Sleep(time.Second)
		synctest.Wait()
		want = []string{"ERROR discovery: disk full port=10300", "WARN  discovery: bad packet suppressed=28"}
		if diff := cmp.Diff(want, lines(&out)); diff != "" {
			t.Errorf("end of the minute (-want +got):\n%s", diff)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if got := lines(&out); got != nil {
			t.Errorf("nothing more was left out, but logged: %q", got)
		}
	})
}

func TestRateLimitFlush(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		limit := NewRateLimit(NewTextHandler(&out, slog.LevelInfo), 1, time.Now)
		log := slog.New(limit)
		for range 5 {
			log.Info("again")
		}
		limit.Flush()
		log.Info("again")
		if diff := cmp.Diff([]string{"INFO  again", "INFO  again suppressed=4", "INFO  again"}, lines(&out)); diff != "" {
			t.Errorf("logged (-want +got):\n%s", diff)
		}
		limit.SetBurst(0)
		for range 5 {
			log.Info("again")
		}
		if got := lines(&out); len(got) != 5 {
			t.Errorf("without a limit: got %q, want 5 lines", got)
		}
	})
}

func TestRateLimitConcurrently(t *testing.T) {
	limit := NewRateLimit(NewTextHandler(io.Discard, slog.LevelInfo), 1, time.Now)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			log := slog.New(limit).With(logkey.Component, "x")
			for range 200 {
				log.Warn("again")
				limit.Flush()
			}
		})
	}
	all.Wait()
}

func BenchmarkSuppressedWarning(b *testing.B) {
	log := slog.New(NewRateLimit(NewTextHandler(io.Discard, slog.LevelInfo), 1, time.Now)).With(logkey.Component, "discovery")
	b.ReportAllocs()
	for b.Loop() {
		log.Warn("bad packet", logkey.Reason, "oversized", "size", 2000)
	}
}

func BenchmarkTextLine(b *testing.B) {
	log := slog.New(NewTextHandler(io.Discard, slog.LevelInfo)).With(logkey.Component, "discovery")
	b.ReportAllocs()
	for b.Loop() {
		log.Warn("bad packet", logkey.Reason, "oversized", "size", 2000)
	}
}
