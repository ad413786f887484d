package store

import (
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/query"
)

// clock is the collector's, which a test moves.
type clock struct{ at atomic.Int64 }

func (c *clock) now() time.Time { return time.UnixMilli(c.at.Load()).UTC() }

// daily opens a store, and fills one volume a day for some days.
func daily(t *testing.T, config Config, days int) (s *Store, c *clock, deps Deps) {
	t.Helper()
	c = &clock{}
	c.at.Store(testNow.UnixMilli())
	deps = testDeps()
	deps.Now = c.now
	s = openWith(t, config, deps)
	session, sp := openSession(t, s, testSource(1, 1)), newSpooler(t)
	for day := range days {
		sp.schema(1, gauge("g", "a"), gauge("day"+string('0'+rune(day)), "a"))
		for minute := range 100 {
			at := testNow.Add(time.Duration(day)*24*time.Hour + time.Duration(minute)*time.Minute)
			c.at.Store(at.UnixMilli())
			sp.frame(1, at, float64(day), float64(minute*minute))
		}
		send(t, session, sp.drain()...)
		pass(t, s)
	}
	return s, c, deps
}

// daysOf are the days of which there is something.
func daysOf(t *testing.T, s *Store) (days []int) {
	t.Helper()
	n := map[int]int{}
	for _, p := range seriesOfDevice(t, stored(t, s, named("g")), "a") {
		if p.Ended {
			continue
		}
		if day := int(p.Value); n[day] == 0 {
			days = append(days, day)
		}
		n[int(p.Value)]++
	}
	for day, n := range n {
		if n != 100 {
			t.Errorf("%d rows of day %d, want 100", n, day)
		}
	}
	return days
}

func TestRetentionByAge(t *testing.T) {
	config := testConfig(t.TempDir())
	config.Retention = 3 * 24 * time.Hour
	config.MinuteRetention, config.HourRetention = 0, 0 // or names live on
	s, c, deps := daily(t, config, 6)
	wantDiff(t, "before", []int{0, 1, 2, 3, 4, 5}, daysOf(t, s))
	for range 3 {
		s.sweep(c.now())
		// The last row of day 2 is a little more than three days old.
		wantDiff(t, "after a sweep", []int{2, 3, 4, 5}, daysOf(t, s))
	}
	c.at.Add((24*time.Hour - 3*forgetEvery).Milliseconds())
	for range 3 { // names that nothing has are spared the first time
		s.sweep(c.now())
		c.at.Add(forgetEvery.Milliseconds())
	}
	s.sweep(c.now())
	wantDiff(t, "a day later", []int{3, 4, 5}, daysOf(t, s))
	if len(s.Metadata("day1")) != 0 || len(s.Metadata("day4")) != 1 {
		t.Errorf("names of day 1: %v, and of day 4: %v", s.Metadata("day1"), s.Metadata("day4"))
	}
	closeStore(t, s)
	s = openWith(t, config, deps)
	wantDiff(t, "reopened", []int{3, 4, 5}, daysOf(t, s))
}

func TestRetentionBySize(t *testing.T) {
	config := testConfig(t.TempDir())
	s, c, deps := daily(t, config, 6)
	one := s.Stats().Volumes.Tiers[0].Bytes / 6
	bound := func(bytes int64) {
		closeStore(t, s)
		config.RetentionSize = model.Bytes(bytes)
		s = openWith(t, config, deps)
		s.sweep(c.now())
	}
	bound(3*one + one/2)
	wantDiff(t, "half of it", []int{3, 4, 5}, daysOf(t, s))
	bound(1)
	wantDiff(t, "the newest stays", []int{5}, daysOf(t, s))
	bound(0)
	wantDiff(t, "reopened", []int{5}, daysOf(t, s))
}

// TestAQueryKeepsWhatItReads: what retention drops meanwhile is there until the end.
func TestAQueryKeepsWhatItReads(t *testing.T) {
	s, c, _ := daily(t, testConfig(t.TempDir()), 3)
	view := data{s}.View(0, model.Millis(c.at.Load()))
	defer view.Release()
	source := s.dictionary.Source(1)
	pieces := view.Pieces(nil, source, 1, 0, model.Millis(c.at.Load()))
	if len(pieces) != 3 {
		t.Fatalf("%d pieces, want 3", len(pieces))
	}
	keep := s.retention()
	keep.Bytes = 1
	if _, err := s.volumes.Retain(c.now(), keep); err != nil {
		t.Fatal(err)
	}
	s.published.Add(1)
	wantDiff(t, "others", []int{2}, daysOf(t, s))
	var readers query.Readers
	for _, p := range pieces {
		r, err := p.Open(&readers)
		if err != nil {
			t.Fatal(err)
		}
		if times, err := r.Times(); err != nil || len(times) != 100 {
			t.Errorf("%d times, error %v", len(times), err)
		}
		r.Close()
	}
}

// silent opens a session of worker 2, which declares a schema, and lets time pass until
// what it has said is forgotten.
func silent(t *testing.T, s *Store, c *clock, step time.Duration) (session *Session, sp *spooler, history []frame.Record) {
	t.Helper()
	session, sp = openSession(t, s, testSource(2, 1)), newSpooler(t)
	sp.schema(1, gauge("quiet", "a"))
	sp.frame(1, c.now(), 1)
	history = sp.drain()
	send(t, session, history...)
	pass(t, s)
	for range 10 {
		c.at.Add(step.Milliseconds())
		s.sweep(c.now())
	}
	return session, sp, history
}

// TestAWorkerThatWasSilentForLongComesBack: its names were forgotten, and are in the log a second
// time.
func TestAWorkerThatWasSilentForLongComesBack(t *testing.T) {
	config := testConfig(t.TempDir())
	config.Retention = 3 * 24 * time.Hour
	config.MinuteRetention, config.HourRetention = 0, 0
	for _, connected := range []bool{true, false} {
		config.Dir = t.TempDir()
		s, c, deps := daily(t, config, 2)
		session, sp, history := silent(t, s, c, 24*time.Hour)
		if n := len(s.Metadata("quiet")); n != 0 {
			t.Fatal("nothing was forgotten: the test does not test it")
		}
		next := sp.frame(1, c.now(), 2)
		if !connected || trySend(session, next) != nil {
			session.Close()
			session = openSession(t, s, testSource(2, 1))
			send(t, session, history...)
			send(t, session, next)
		}
		want := map[string][]point{
			`{__name__="quiet", dev="a", instance="host2", job="node"}`: {{At: c.now().Unix() - testNow.Unix(), Value: 2}},
		}
		for _, stage := range []string{"at once", "reopened", "reopened twice"} {
			wantDiff(t, stage, want, stored(t, s, named("quiet")))
			closeStore(t, s)
			var log logged
			deps.Log = slog.New(slog.NewTextHandler(&log, nil))
			s = openWith(t, config, deps)
			if damage := s.Stats().Damage; damage > 0 {
				t.Errorf("%s: %d pieces of damage:\n%s", stage, damage, &log)
			}
		}
	}
}
