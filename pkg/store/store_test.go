package store

import (
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestFramesBecomeSeries(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	source := testSource(1, 1)
	source.ExtraLabels = model.LabelsOf("site", "lab")
	session := openSession(t, s, source)
	sp := newSpooler(t)
	sp.schema(1, model.Part{Collector: "mixed", Families: []model.Family{
		{Name: "plain", Type: model.Counter, Series: []model.Labels{nil}},
		{Name: "claims", Type: model.Gauge, Series: []model.Labels{model.LabelsOf("instance", "mine", "job", "theirs", "empty", "")}},
	}})
	sp.frame(1, after(0), 1.5, math.Inf(1))
	sp.frame(1, after(1), 2.5, -7)
	send(t, session, sp.drain()...)

	stats := s.Stats()
	if stats.Frames != 2 || stats.Samples != 4 || stats.Records != 4 || stats.Series != 2 || stats.Sessions != 1 || stats.Workers != 1 {
		t.Errorf("got stats %+v", stats)
	}
	want := map[string][]point{
		`{__name__="plain", instance="host1", job="node", site="lab"}`:                                                   points(0, 1.5, 2.5),
		`{__name__="claims", exported_instance="mine", exported_job="theirs", instance="host1", job="node", site="lab"}`: points(0, math.Inf(1), -7),
	}
	atEveryStage(t, s, func(s *Store, stage string) { wantDiff(t, stage, want, stored(t, s, anySeries())) })
}

func TestDirectoryIsLocked(t *testing.T) {
	dir := t.TempDir()
	open(t, testConfig(dir))
	if _, err := Open(testConfig(dir), testDeps()); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("second open: got error %v, want ErrLocked", err)
	}
}

func TestAStoreThatDoesNotOpenLeavesTheDirectoryFree(t *testing.T) {
	config := testConfig(t.TempDir())
	bad := config
	bad.SyncInterval = time.Hour
	if _, err := Open(bad, testDeps()); err == nil {
		t.Fatal("opened with a bad configuration")
	}
	open(t, config)
}

func TestDefaultConfigIsValidAndBadOnesAreNamed(t *testing.T) {
	good := DefaultConfig()
	good.Dir = "x"
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	f := func(name string, spoil func(*Config)) {
		t.Helper()
		bad := good
		spoil(&bad)
		if err := bad.Validate(); err == nil || !strings.HasPrefix(err.Error(), name) {
			t.Errorf("got error %v, want one that begins with %q", err, name)
		}
	}
	f("dir", func(c *Config) { c.Dir = "" })
	f("retention", func(c *Config) { c.Retention = time.Minute })
	f("minute_retention", func(c *Config) { c.MinuteRetention = time.Hour })
	f("hour_retention", func(c *Config) { c.HourRetention = time.Hour })
	f("sync_interval", func(c *Config) { c.SyncInterval = time.Second })
	f("sync_bytes", func(c *Config) { c.SyncBytes = 1 })
	f("seal_after", func(c *Config) { c.SealAfter = time.Second })
	f("journal_bytes", func(c *Config) { c.JournalBytes = 1 })
	f("max_series", func(c *Config) { c.MaxSeries = 0 })
	f("max_new_series", func(c *Config) { c.MaxNewSeries = 1 })
	f("max_workers", func(c *Config) { c.MaxWorkers = 0 })
	f("schema_bytes", func(c *Config) { c.SchemaBytes = 1 })
	f("query_bytes", func(c *Config) { c.QueryBytes = 1 })
	good.MinuteRetention, good.HourRetention = 0, 0
	if err := good.Validate(); err != nil {
		t.Errorf("without rollups: %v", err)
	}
}

func TestReopenedStoreResumesWhereItWasDurable(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		config := testConfig(t.TempDir())
		s := open(t, config)
		sp := newSpooler(t)
		sp.schema(1, gauge("g", "a", "b"))
		sp.frame(1, after(0), 1, 2)
		sp.frame(1, after(1), 3, model.Absent())
		history := sp.drain()
		session := openSession(t, s, testSource(1, 1))
		send(t, session, history...)
		awaitDurable(t, session, sp.seq)
		if sealed {
			pass(t, s)
		}
		closeStore(t, s)
		if err := trySend(session, sp.frame(1, after(2), 4, 4)); causeOf(t, err) != CauseClosed {
			t.Errorf("append to a closed store: got %v", err)
		}
		lost := sp.drain()

		s = open(t, config)
		session = openSession(t, s, testSource(1, 1))
		if got := session.Resume(); got != 4 {
			t.Errorf("resume: got %d, want 4", got)
		}
		known := frame.PartIDOf(history[0].Payload)
		if got := session.Wanted([]frame.PartID{known, {1}}); !slices.Equal(got, []bool{false, true}) {
			t.Errorf("wanted parts: got %v", got)
		}
		send(t, session, history[1:]...) // context: schema and frames that are stored, but not the known part
		send(t, session, lost...)
		sp.frame(1, after(3), model.Absent(), 5)
		send(t, session, sp.drain()...)
		if families := s.Metadata("g"); len(families) != 1 || families[0].Help != "Help of g." || families[0].Type != model.Gauge {
			t.Errorf("metadata after reopening: got %+v", families)
		}
		atEveryStage(t, s, func(s *Store, stage string) {
			found := stored(t, s, named("g"))
			wantDiff(t, stage+": series a", append(points(0, 1, 3, 4), point{At: 3, Ended: true}), seriesOfDevice(t, found, "a"))
			wantDiff(t, stage+": series b", []point{{At: 0, Value: 2}, {At: 1, Ended: true}, {At: 2, Value: 4}, {At: 3, Value: 5}}, seriesOfDevice(t, found, "b"))
		})
	}
}

func TestReconnectResumesBehindEverythingThatWasTaken(t *testing.T) {
	config := testConfig(t.TempDir())
	config.SyncInterval = 200 * time.Millisecond
	s := open(t, config)
	sp := newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	sp.frame(1, after(0), 1)
	first := openSession(t, s, testSource(1, 1))
	history := sp.drain()
	send(t, first, history...)
	second := openSession(t, s, testSource(1, 1)) // at once: the first is not durable by itself
	if got := second.Resume(); got != 3 {
		t.Errorf("resume of the second session: got %d, want 3", got)
	}
	if err := trySend(first, sp.frame(1, after(1), 2)); causeOf(t, err) != CauseSuperseded {
		t.Errorf("append to the old session: got %v, want superseded", err)
	}
	send(t, second, history...) // context
	send(t, second, sp.drain()...)
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	third := openSession(t, s, testSource(1, 1))
	if got := third.Resume(); got != 4 {
		t.Errorf("resume after a closed session: got %d, want 4", got)
	}
	awaitDurable(t, second, 4)
}

func TestRunReturnsWithItsContext(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Errorf("got %v", err)
	}
}

func TestAClosedStoreRefuses(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	session := openSession(t, s, testSource(1, 1))
	closeStore(t, s)
	closeStore(t, s)
	wantTemporary(t, trySend(session, frame.Record{Seq: 1, Kind: frame.KindEvent}), CauseClosed)
	_, err := s.OpenSession(testSource(1, 1))
	wantTemporary(t, err, CauseClosed)
	wantTemporary(t, s.MarkStale(workerID(1), testNow), CauseClosed)
	if err := s.Pass(); err == nil {
		t.Error("a pass of a closed store succeeded")
	}
}
