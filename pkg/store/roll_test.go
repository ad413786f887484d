package store

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/rollup"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// tierOf is what there is of a tier.
func tierOf(s *Store, tier volume.Tier) volume.TierStats { return s.Stats().Volumes.Tiers[tier] }

// fill stores rows of a gauge, every so often.
func fillRows(t *testing.T, s *Store, w *spooler, session *Session, from, to time.Time, every time.Duration) {
	t.Helper()
	for at := from; at.Before(to); at = at.Add(every) {
		send(t, session, w.frame(1, at, float64(at.Unix()%100), float64(at.Unix())))
		w.drain()
	}
}

func TestRollsAreMadeOfWhatIsSealed(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	w := newSpooler(t)
	w.schema(1, gauge("g", "a", "b"))
	session := openSession(t, s, testSource(1, 1))
	send(t, session, w.drain()...)
	from := testNow.Add(-10 * time.Hour)
	fillRows(t, s, w, session, from, testNow.Add(-5*time.Hour), time.Second)
	pass(t, s)
	if err := s.Roll(); err != nil {
		t.Fatal(err)
	}
	if h, m := tierOf(s, volume.Hour), tierOf(s, volume.Minute); h.Files != 1 || h.Rows != 5 || m.Files != 2 || m.Rows != 5*60 {
		t.Errorf("hours %+v, minutes %+v", h, m)
	}
	fillRows(t, s, w, session, testNow.Add(-5*time.Hour), testNow.Add(time.Second), time.Second)
	pass(t, s)
	if err := s.Roll(); err != nil {
		t.Fatal(err)
	}
	if h, m := tierOf(s, volume.Hour), tierOf(s, volume.Minute); h.Files != 1 || h.Rows != 11 || m.Files != 2 || m.Rows != 601 {
		t.Errorf("hours %+v, minutes %+v", h, m)
	}
}

// rolledHours makes a store with hours of rows that are in rollups.
func rolledHours(t *testing.T) (*Store, *spooler, *Session) {
	t.Helper()
	s, w := open(t, testConfig(t.TempDir())), newSpooler(t)
	w.schema(1, gauge("g", "a", "b"))
	session := openSession(t, s, testSource(1, 1))
	send(t, session, w.drain()...)
	fillRows(t, s, w, session, testNow.Add(-10*time.Hour), testNow.Add(-4*time.Hour), 10*time.Second)
	pass(t, s)
	roll(t, s)
	return s, w, session
}

func roll(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Roll(); err != nil {
		t.Fatal(err)
	}
}

// askMax is max_over_time(g{dev="b"}[1h]) at the hours of a time, from rollups.
func askMax(t *testing.T, s *Store, from, to time.Time) (values []float64, warnings []error) {
	t.Helper()
	parse := parser.NewParser(parser.Options{})
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1_000_000, Timeout: time.Hour, Parser: parse})
	const text = `max_over_time(g{dev="b"}[1h])`
	expr, err := parse.ParseExpr(text)
	if err != nil {
		t.Fatal(err)
	}
	ctx := rollup.AskedBy(expr, 5*time.Minute).Context(t.Context())
	q, err := engine.NewRangeQuery(ctx, s.Queryable(), nil, text, from, to, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	r := q.Exec(ctx)
	m, err := r.Matrix()
	if err != nil || len(m) != 1 {
		t.Fatal(m, err)
	}
	for _, p := range m[0].Floats {
		values = append(values, p.F-float64(testNow.Unix()))
	}
	for _, w := range r.Warnings {
		warnings = append(warnings, w)
	}
	return values, warnings
}

// TestALeftoverOfARollGoes: killed between the new volume and the removal of the old one.
func TestALeftoverOfARollGoes(t *testing.T) {
	s, w, session := rolledHours(t)
	held := s.rolled(rollTierOf(rollup.Hour))
	old := held.Files()[0].Path()
	kept := filepath.Join(t.TempDir(), filepath.Base(old))
	if err := os.Link(old, kept); err != nil {
		t.Fatal(err)
	}
	held.Release()
	// A value that is higher, late, where the rollup is.
	send(t, session, w.frame(1, testNow.Add(-7*time.Hour-30*time.Minute+time.Second), 1, float64(testNow.Unix()+5)))
	pass(t, s)
	want := []float64{-8 * 3600, 5, -6 * 3600}
	got, _ := askMax(t, s, testNow.Add(-8*time.Hour), testNow.Add(-6*time.Hour))
	wantDiff(t, "late rows before a roll", want, got)
	roll(t, s)
	got, _ = askMax(t, s, testNow.Add(-8*time.Hour), testNow.Add(-6*time.Hour))
	wantDiff(t, "late rows in the rollup", want, got)
	closeStore(t, s)
	if err := os.Link(kept, old); err != nil {
		t.Fatal(err)
	}
	s = openWith(t, s.config, s.deps)
	if _, err := os.Stat(old); !os.IsNotExist(err) {
		t.Errorf("%s is there: %v", old, err)
	}
	if files := tierOf(s, volume.Hour).Files; files != 1 {
		t.Errorf("%d volumes of hours", files)
	}
	got, _ = askMax(t, s, testNow.Add(-8*time.Hour), testNow.Add(-6*time.Hour))
	wantDiff(t, "reopened", want, got)
}

// TestRollsStandAlone: a volume has the names that its blocks need.
func TestRollsStandAlone(t *testing.T) {
	s, _, _ := rolledHours(t)
	held := s.rolled(rollTierOf(rollup.Hour))
	defer held.Release()
	var parts, schemas, sources, spans int
	err := held.Files()[0].Definitions(volume.Visitor{
		Part:   func([]byte) error { parts++; return nil },
		Schema: func([]byte) error { schemas++; return nil },
		Source: func(model.WorkerID, []labels.Label) error { sources++; return nil },
		Span:   func(volume.Span) error { spans++; return nil },
	})
	if err != nil || parts != 1 || schemas != 1 || sources != 1 || spans != 1 {
		t.Errorf("%d parts, %d schemas, %d sources, %d spans, error %v", parts, schemas, sources, spans, err)
	}
}

// TestRowsThatCannotBeRolled: damage costs the rows that it hit, and answers say so.
func TestRowsThatCannotBeRolled(t *testing.T) {
	config := testConfig(t.TempDir())
	s, w := open(t, config), newSpooler(t)
	w.schema(1, gauge("g", "a", "b"))
	session := openSession(t, s, testSource(1, 1))
	send(t, session, w.drain()...)
	for h := 10; h > 4; h -= 2 {
		fillRows(t, s, w, session, testNow.Add(-time.Duration(h)*time.Hour), testNow.Add(-time.Duration(h-2)*time.Hour), 10*time.Second)
		pass(t, s)
	}
	held := s.volumes.Files(volume.Raw, 0, model.Millis(testNow.UnixMilli()))
	file := held.Files()[1]
	var at volume.Entry
	if err := file.Each(func(e volume.Entry) error { at = e; return nil }); err != nil {
		t.Fatal(err)
	}
	path := file.Path()
	held.Release()
	closeStore(t, s)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	raw[at.Offset+int64(at.Size)-2] ^= 1
	if err := os.WriteFile(path, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, config)
	roll(t, s)
	got, warnings := askMax(t, s, testNow.Add(-10*time.Hour), testNow.Add(-4*time.Hour))
	if len(got) != 6 && len(got) != 5 || len(warnings) == 0 {
		t.Errorf("%v, warnings %v", got, warnings)
	}
}

func TestWhenRollsAreDue(t *testing.T) {
	const hour = model.Millis(3_600_000)
	tiers := rollTiers()
	minutes, hours := tiers[0], tiers[1]
	end := hours.windowEnd(model.Millis(testNow.UnixMilli()) - 30*24*hour) // of both
	s, _, _ := rolledHours(t)
	fresh := rawOf(t, s)
	for name, c := range map[string]struct {
		d          rollDecision
		all, going bool
		want       bool
	}{
		"nothing is new":         {rollDecision{window: &rollWindowState{number: 7, last: end, created: time.UnixMilli(int64(end + 30*hour))}, tier: hours, frontier: end + 2*hour}, false, false, false},
		"complete":               {rollDecision{window: &rollWindowState{fresh: fresh}, tier: minutes, frontier: end + hour}, false, false, true},
		"more may come":          {rollDecision{window: &rollWindowState{fresh: fresh}, tier: minutes, frontier: end + hour/2}, false, false, false},
		"asked for":              {rollDecision{window: &rollWindowState{fresh: fresh}, tier: minutes, frontier: end - hour}, true, false, true},
		"late, made lately":      {rollDecision{window: &rollWindowState{number: 3, last: end, created: time.UnixMilli(int64(end + 2*hour)), fresh: fresh}, tier: hours, frontier: end + 3*hour}, false, false, false},
		"late, made long ago":    {rollDecision{window: &rollWindowState{number: 3, last: end, created: time.UnixMilli(int64(end + 2*hour)), fresh: fresh}, tier: hours, frontier: end + 6*hour}, false, false, true},
		"it lacks its last hour": {rollDecision{window: &rollWindowState{number: 3, last: end - hour, created: time.UnixMilli(int64(end))}, tier: hours, frontier: end + 6*hour}, false, false, true},
	} {
		c.d.end, c.d.now, c.d.retention = end, c.d.frontier, 1000*24*hour
		if got := c.d.due(c.all, c.going); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	d := rollDecision{window: &rollWindowState{fresh: fresh}, tier: hours, end: end, frontier: end - 100*hour, retention: 24 * hour}
	_, last := fresh[0].Range()
	for lead, want := range map[model.Millis][2]bool{-2 * hour: {false, false}, -hour / 2: {true, false}, hour: {true, true}} {
		d.now = last + d.retention + lead
		if got := [2]bool{d.due(false, false), d.due(false, true)}; got != want {
			t.Errorf("rows go in %d minutes: due, and at once %v, want %v", -lead/60_000, got, want)
		}
	}
}

// rawOf are the raw volumes.
func rawOf(t *testing.T, s *Store) []*volume.File {
	t.Helper()
	held := s.volumes.Files(volume.Raw, 0, model.Millis(testNow.UnixMilli()))
	t.Cleanup(held.Release)
	return held.Files()
}
