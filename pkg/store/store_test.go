package store

import (
	"context"
	"errors"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestFramesBecomeSeries(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	source := testSource(1, 1)
	source.ExtraLabels = model.LabelsOf("site", "lab")
	session := openSession(t, s, source)
	sp := newSpooler(t)
	part := model.Part{Collector: "mixed", Families: []model.Family{
		{Name: "plain", Type: model.Counter, Series: []model.Labels{nil}},
		{Name: "claims", Type: model.Gauge, Series: []model.Labels{model.LabelsOf("instance", "mine", "job", "theirs", "empty", "")}},
	}}
	sp.schema(1, part)
	sp.frame(1, after(0), 1.5, math.Inf(1))
	sp.frame(1, after(1), 2.5, -7)
	send(t, session, sp.drain()...)

	want := map[string][]point{
		`{__name__="plain", instance="host1", job="node", site="lab"}`: {{At: 0, Value: 1.5}, {At: 1, Value: 2.5}},
		`{__name__="claims", exported_instance="mine", exported_job="theirs", instance="host1", job="node", site="lab"}`: {
			{At: 0, Value: math.Inf(1)}, {At: 1, Value: -7}},
	}
	got := stored(t, s, named("plain"))
	for k, v := range stored(t, s, named("claims")) {
		got[k] = v
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("stored samples (-want +got):\n%s", diff)
	}
	stats := s.Stats()
	if stats.Frames != 2 || stats.Samples != 4 || stats.Records != 4 || stats.HeadSeries != 2 || stats.Sessions != 1 {
		t.Errorf("got stats %+v", stats)
	}
}

func TestDirectoryIsLocked(t *testing.T) {
	dir := t.TempDir()
	open(t, testConfig(dir))
	_, err := Open(testConfig(dir), Deps{})
	if !errors.Is(err, ErrLocked) {
		t.Errorf("second open: got error %v, want ErrLocked", err)
	}
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
		if err := bad.Validate(); err == nil || len(err.Error()) < len(name) || err.Error()[:len(name)] != name {
			t.Errorf("got error %v, want one that begins with %q", err, name)
		}
	}
	f("dir", func(c *Config) { c.Dir = "" })
	f("retention", func(c *Config) { c.Retention = time.Minute })
	f("out_of_order", func(c *Config) { c.OutOfOrder = time.Hour })
	f("out_of_order", func(c *Config) { c.OutOfOrder = c.Retention + 1 })
	f("sync_interval", func(c *Config) { c.SyncInterval = time.Second })
	f("sync_bytes", func(c *Config) { c.SyncBytes = 1 })
	f("max_series", func(c *Config) { c.MaxSeries = 0 })
	f("max_new_series", func(c *Config) { c.MaxNewSeries = 1 })
	f("max_workers", func(c *Config) { c.MaxWorkers = 0 })
	f("part_bytes", func(c *Config) { c.PartBytes = 1 })
}

func TestReopenedStoreResumesWhereItWasDurable(t *testing.T) {
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
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
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
	if diff := cmp.Diff([]bool{false, true}, session.Wanted([]frame.PartID{known, {1}})); diff != "" {
		t.Errorf("wanted parts (-want +got):\n%s", diff)
	}
	// Context: schema and frames that are stored, but not the known part.
	send(t, session, history[1:]...)
	send(t, session, lost...)
	sp.frame(1, after(3), model.Absent(), 5)
	send(t, session, sp.drain()...)
	found := stored(t, s, named("g"))
	if diff := cmp.Diff([]point{{At: 0, Value: 1}, {At: 1, Value: 3}, {At: 2, Value: 4}, {At: 3, Ended: true}}, seriesOfDevice(t, found, "a")); diff != "" {
		t.Errorf("series a (-want +got):\n%s", diff)
	}
	// The marker at 1 s was stored in the first life; the context did not repeat it.
	if diff := cmp.Diff([]point{{At: 0, Value: 2}, {At: 1, Ended: true}, {At: 2, Value: 4}, {At: 3, Value: 5}}, seriesOfDevice(t, found, "b")); diff != "" {
		t.Errorf("series b (-want +got):\n%s", diff)
	}
	if families := s.Metadata("g"); len(families) != 1 || families[0].Help != "Help of g." || families[0].Type != model.Gauge {
		t.Errorf("metadata after reopening: got %+v", families)
	}
}

func TestOnlyTheNewestBootsAreRemembered(t *testing.T) {
	config := testConfig(t.TempDir())
	s := open(t, config)
	for boot := range byte(keepBoots + 3) {
		sp := newSpooler(t)
		sp.schema(1, gauge("g", "a"))
		session := openSession(t, s, testSource(1, boot))
		send(t, session, sp.drain()...)
		awaitDurable(t, session, sp.seq)
	}
	remembered := 0
	for boot := range byte(keepBoots + 3) {
		if openSession(t, s, testSource(1, boot)).Resume() > 0 {
			remembered++
		}
	}
	if remembered != keepBoots {
		t.Errorf("got %d boots with a resume point, want %d", remembered, keepBoots)
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
	send(t, first, sp.drain()...)
	second := openSession(t, s, testSource(1, 1)) // at once: the first is not durable by itself
	if got := second.Resume(); got != 3 {
		t.Errorf("resume of the second session: got %d, want 3", got)
	}
	if err := trySend(first, sp.frame(1, after(1), 2)); causeOf(t, err) != CauseSuperseded {
		t.Errorf("append to the old session: got %v, want superseded", err)
	}
	send(t, second, sp.drain()...)
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	third := openSession(t, s, testSource(1, 1))
	if got := third.Resume(); got != 4 {
		t.Errorf("resume after a closed session: got %d, want 4", got)
	}
}

func TestRunReturnsWithItsContext(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Errorf("got %v", err)
	}
	s.broken.set(errors.New("disk on fire"))
	if err := s.Run(t.Context()); err == nil {
		t.Error("run of a broken store: got no error")
	}
	if _, err := s.OpenSession(testSource(1, 1)); causeOf(t, err) != CauseFailed {
		t.Errorf("session of a broken store: got %v", err)
	}
	s.broken = failure{failed: make(chan struct{})} // so that Close has nothing to complain about
}
