package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/cloudless-fleet/cloudless/pkg/store/ledger"
	"github.com/cloudless-fleet/cloudless/pkg/store/snapshot"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

func importFrom(t testing.TB, s *Store, dir string) Imported {
	t.Helper()
	done, err := s.Import(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return done
}

func TestAnImportBringsBackWhatIsMissing(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	fill(t, s)
	at := filepath.Join(t.TempDir(), "snapshot")
	takeSnapshot(t, s, at)
	want := stored(t, s, anySeries())

	// Another collector, whose workers have gone on.
	other := open(t, testConfig(t.TempDir()))
	session := openSession(t, other, testSource(1, 2))
	sp := newSpooler(t)
	sp.schema(1, gauge("cpu", "b", "c"))
	sp.frame(1, after(50), 500, 501)
	send(t, session, sp.drain()...)
	note(t, other, 3, 1)
	want[`{__name__="cpu", dev="b", instance="host1", job="node"}`] = append(want[`{__name__="cpu", dev="b", instance="host1", job="node"}`], point{At: 50, Value: 500})
	want[`{__name__="cpu", dev="c", instance="host1", job="node"}`] = points(50, 501)
	want[`{__name__="cpu", dev="a", instance="host1", job="node"}`] = append(want[`{__name__="cpu", dev="a", instance="host1", job="node"}`], point{At: 50, Ended: true})

	done := importFrom(t, other, at)
	if done.Volumes != 3 || done.Known != 0 || done.Old != 0 || done.Gaps != 1 || done.Rows != 32 {
		t.Errorf("done is %+v", done)
	}
	wantDiff(t, "after the import", want, stored(t, other, anySeries()))
	for range 2 {
		again := importFrom(t, other, at)
		if again.Volumes != 0 || again.Known != 3 || again.Gaps != 0 || again.Rows != 0 {
			t.Errorf("once more: %+v", again)
		}
	}
	if entries, _ := other.Ledger().Find(ledger.Query{}); len(entries) != 2 {
		t.Errorf("the ledger has %+v", entries)
	}
	pass(t, other)
	wantDiff(t, "after a pass", want, stored(t, other, anySeries()))
	if _, err := os.Stat(filepath.Join(other.config.Dir, importing)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("left is %s: %v", importing, err)
	}
	closeStore(t, other)
	other = open(t, other.config)
	wantDiff(t, "opened again", want, stored(t, other, anySeries()))
	if again := importFrom(t, other, at); again.Volumes != 0 || again.Known != 3 {
		t.Errorf("opened again, once more: %+v", again)
	}
	if _, found, err := snapshot.Check(t.Context(), other.deps.FS, at); err != nil || len(found) > 0 {
		t.Errorf("the snapshot was changed: %v, %v", found, err)
	}
}

// What was here counts, and rows of the journal that are in both are shown once.
func TestAnImportIntoTheStoreThatItIsOf(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	sp, session := fill(t, s)
	at := filepath.Join(t.TempDir(), "snapshot")
	takeSnapshot(t, s, at)
	sp.frame(1, after(60), 1, 2)
	send(t, session, sp.drain()...)
	want := stored(t, s, anySeries())
	if done := importFrom(t, s, at); done.Volumes != 1 || done.Known != 2 || done.Gaps != 0 {
		t.Errorf("done is %+v", done)
	}
	wantDiff(t, "after the import", want, stored(t, s, anySeries()))
	pass(t, s)
	wantDiff(t, "after a pass", want, stored(t, s, anySeries()))
}

// A row that is imported is newer than the newest that came by a session.
func TestTheNewestRowMayBeOneThatWasImported(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	fill(t, s)
	at := filepath.Join(t.TempDir(), "snapshot")
	takeSnapshot(t, s, at)
	other := open(t, testConfig(t.TempDir()))
	session := openSession(t, other, testSource(1, 2))
	sp := newSpooler(t)
	sp.schema(1, gauge("cpu", "a", "b"))
	sp.frame(1, after(10), -1, -1)
	send(t, session, sp.drain()...)
	importFrom(t, other, at)
	got := instantOf(t, other, `cpu{dev="a",instance="host1"}`, after(40))
	wantDiff(t, "the newest", []float64{29}, got)
}

func TestADamagedSnapshotIsNotImported(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	fill(t, s)
	other := open(t, testConfig(t.TempDir()))
	for _, pattern := range []string{"volumes/*.raw", "journal/*.log", "schemas/*.log", "gaps/*.log", snapshot.ManifestName} {
		at := filepath.Join(t.TempDir(), "snapshot")
		takeSnapshot(t, s, at)
		names, err := filepath.Glob(filepath.Join(at, pattern))
		if err != nil || len(names) == 0 {
			t.Fatal(names, err)
		}
		name := names[0]
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 4
		if err := os.Remove(name); err != nil { // it may be a second name of a file of the store
			t.Fatal(err)
		}
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err = other.Import(t.Context(), at)
		var damage *snapshot.Damage
		if !errors.As(err, &damage) || damage.File != name || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", pattern, err)
		}
		if found := stored(t, other, anySeries()); len(found) > 0 {
			t.Errorf("%s: %d series were imported", pattern, len(found))
		}
	}
	if _, err := other.Import(t.Context(), t.TempDir()); !errors.Is(err, snapshot.ErrNone) {
		t.Errorf("of an empty folder: %v", err)
	}
}

// What was damaged already when the snapshot was made costs no more than that.
func TestAVolumeThatWasDamagedBeforeIsLeftOut(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	fill(t, s)
	want := stored(t, s, anySeries())
	closeStore(t, s)
	name := filepath.Join(s.config.Dir, volumesName, "00000001.raw")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)-30] ^= 1 // in the footer
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	s = open(t, s.config)
	wantDiff(t, "the damaged store", want, stored(t, s, anySeries()))
	at := filepath.Join(t.TempDir(), "snapshot")
	takeSnapshot(t, s, at)
	other := open(t, testConfig(t.TempDir()))
	done, err := other.Import(t.Context(), at)
	var damage *volume.Damage
	if !errors.As(err, &damage) || damage.File != filepath.Join(at, volumesName, "00000001.raw") || done.Volumes != 2 {
		t.Errorf("done is %+v, %v", done, err)
	}
	if points := seriesOfDevice(t, stored(t, other, named("cpu"), ofHost(1)), "a"); len(points) != 20 {
		t.Errorf("%d rows were taken over", len(points))
	}
}

func TestWhatIsTooOldIsNotImported(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	fill(t, s)
	at := filepath.Join(t.TempDir(), "snapshot")
	takeSnapshot(t, s, at)
	deps := testDeps()
	config := testConfig(t.TempDir())
	deps.Now = func() time.Time { return testNow.Add(config.Retention + 12*time.Second) }
	later := openWith(t, config, deps)
	if done := importFrom(t, later, at); done.Old != 1 || done.Volumes != 2 {
		t.Errorf("done is %+v", done)
	}
}

// instantOf are the values of a query at one time.
func instantOf(t testing.TB, s *Store, expr string, at time.Time) (values []float64) {
	t.Helper()
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 1000, Timeout: time.Minute, Parser: parser.NewParser(parser.Options{})})
	defer engine.Close()
	q, err := engine.NewInstantQuery(t.Context(), s.Queryable(), nil, expr, at)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	found, err := q.Exec(t.Context()).Vector()
	if err != nil {
		t.Fatal(err)
	}
	for _, sample := range found {
		values = append(values, sample.F)
	}
	return values
}
