package store

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/tsdb"
	"go.etcd.io/bbolt"
)

// TestLateSamplesOutliveAKillWhileTheyAreCompacted stops in the middle of what
// the database does with late samples when it compacts: it moves a series' open
// chunk to its buffer of head chunks, and the next late sample of the series
// writes a marker that nothing is left in the open chunk. The buffer is lost
// with the process; the samples must not be.
func TestLateSamplesOutliveAKillWhileTheyAreCompacted(t *testing.T) {
	s := openCompacted(t)
	late := newLateWorker(t, s)
	late.write(20)
	if _, err := tsdb.NewOOOCompactionHead(context.Background(), s.db.Head()); err != nil {
		t.Fatal(err)
	}
	late.write(20)

	killed := testConfig(copyKilled(t, s))
	for _, life := range []string{"killed", "closed"} {
		opened := open(t, killed)
		late.check(opened, life)
		if err := opened.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestLateSamplesOutliveTwoKills: the first kill takes away chunks that have
// markers. The start after it makes them again, elsewhere, and is killed with
// them in its buffer. But what it has flushed makes the files so long that the
// old markers look fulfilled.
func TestLateSamplesOutliveTwoKills(t *testing.T) {
	s := openCompacted(t)
	late := newLateWorker(t, s)
	late.write(100) // three full chunks a series

	// Noise for more than a buffer (4 MiB) of chunks: 120 samples make one.
	const devices, frames = 500, 12 * 120
	names, row := make([]string, devices), make([]float64, devices)
	for i := range names {
		names[i] = strconv.Itoa(i)
	}
	noisy, sp := openSession(t, s, testSource(3, 1)), newSpooler(t)
	sp.schema(1, gauge("noise", names...))
	random := rand.New(rand.NewPCG(1, 2))
	for i := range frames {
		for column := range row {
			row[column] = random.Float64()
		}
		sp.frame(1, after(i-frames), row...)
		send(t, noisy, sp.drain()...)
	}
	awaitDurable(t, noisy, sp.seq)

	once := open(t, testConfig(copyKilled(t, s)))
	late.check(once, "killed")
	twice := open(t, testConfig(copyKilled(t, once)))
	late.check(twice, "killed again")
}

// openCompacted opens a store with a block that is younger than what a
// lateWorker writes: from then on a start looks for that in its own log only.
func openCompacted(t *testing.T) *Store {
	t.Helper()
	s := open(t, testConfig(t.TempDir()))
	s.db.DisableCompactions()
	session, sp := openSession(t, s, testSource(1, 1)), newSpooler(t)
	sp.schema(1, gauge("g", "a", "b"))
	for at := -6 * time.Hour; at <= 0; at += 2 * time.Minute {
		sp.frame(1, testNow.Add(at), 1, 2)
	}
	send(t, session, sp.drain()...)
	if err := s.db.Compact(context.Background()); err != nil {
		t.Fatal(err)
	}
	if len(s.db.Blocks()) == 0 {
		t.Fatal("no block was made: the test does not test it")
	}
	return s
}

// lateWorker is a worker five hours late.
type lateWorker struct {
	t       *testing.T
	session *Session
	spooler *spooler
	sent    int // frames
}

func newLateWorker(t *testing.T, s *Store) *lateWorker {
	t.Helper()
	w := &lateWorker{t: t, session: openSession(t, s, testSource(2, 1)), spooler: newSpooler(t)}
	w.spooler.schema(1, gauge("g", "a", "b"))
	return w
}

// point is what frame i stores in a column.
func (w *lateWorker) point(i, column int) point {
	return point{At: int64(i - 5*3600), Value: float64(i * (1 - 2*column))}
}

// write stores frames until they are acknowledged.
func (w *lateWorker) write(frames int) {
	w.t.Helper()
	for range frames {
		a, b := w.point(w.sent, 0), w.point(w.sent, 1)
		w.spooler.frame(1, after(int(a.At)), a.Value, b.Value)
		w.sent++
	}
	send(w.t, w.session, w.spooler.drain()...)
	awaitDurable(w.t, w.session, w.spooler.seq)
}

// check proves that a store has what was written, and names the life it is in.
func (w *lateWorker) check(s *Store, life string) {
	w.t.Helper()
	byHost := labels.MustNewMatcher(labels.MatchEqual, "instance", "host2")
	found := stored(w.t, s, named("g"), byHost)
	for column, device := range []string{"a", "b"} {
		var want []point
		for i := range w.sent {
			want = append(want, w.point(i, column))
		}
		if diff := cmp.Diff(want, seriesOfDevice(w.t, found, device)); diff != "" {
			w.t.Errorf("after the store was %s, device %s (-want +got):\n%s", life, device, diff)
		}
	}
}

// copyKilled copies the store's files as they would be if the process were
// killed now: what it has in its own buffers is not there. Nothing may be
// writing meanwhile.
func copyKilled(t *testing.T, s *Store) (to string) {
	t.Helper()
	to = t.TempDir()
	if err := os.CopyFS(filepath.Join(to, tsdbName), os.DirFS(filepath.Join(s.config.Dir, tsdbName))); err != nil {
		t.Fatal(err)
	}
	err := s.index.db.View(func(tx *bbolt.Tx) error { return tx.CopyFile(filepath.Join(to, indexName), 0o640) })
	if err != nil {
		t.Fatal(err)
	}
	return to
}
