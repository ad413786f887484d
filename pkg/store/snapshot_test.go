package store

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/ledger"
	"github.com/cloudless-fleet/cloudless/pkg/store/snapshot"
)

// fill gives a store rows in volumes, rows in its journal, and an entry of the ledger.
func fill(t testing.TB, s *Store) (sp *spooler, session *Session) {
	t.Helper()
	session = openSession(t, s, testSource(1, 1))
	sp = newSpooler(t)
	sp.schema(1, gauge("cpu", "a", "b"))
	for i := range 30 {
		sp.frame(1, after(i), float64(i), float64(2*i))
		if i%10 == 9 && i < 29 {
			send(t, session, sp.drain()...)
			pass(t, s)
		}
	}
	sp.schema(2, gauge("disk", "x"))
	sp.frame(2, after(5), 7)
	send(t, session, sp.drain()...)
	other := openSession(t, s, testSource(2, 1))
	second := newSpooler(t)
	second.schema(1, gauge("cpu", "a"))
	second.frame(1, after(3), 33)
	send(t, other, second.drain()...)
	note(t, s, 1, 100)
	return sp, session
}

func note(t testing.TB, s *Store, worker byte, seq uint64) {
	t.Helper()
	_, err := s.ledger.Add(ledger.Report{Worker: workerID(worker), Boot: bootID(1), Seq: seq,
		Gap: event.Gap{Cause: event.SpoolFull, From: model.Millis(testNow.UnixMilli()), To: model.Millis(testNow.UnixMilli()) + 5, Frames: 1, Samples: 2}})
	if err != nil {
		t.Fatal(err)
	}
}

func takeSnapshot(t testing.TB, s *Store, dir string) Snapshot {
	t.Helper()
	made, err := s.Snapshot(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func restored(t testing.TB, from string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "restored")
	if _, err := snapshot.Restore(t.Context(), durable.OS(), from, durable.OS(), dir); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestASnapshotAnswersAsTheStoreDid(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	sp, session := fill(t, s)
	want := stored(t, s, anySeries())
	at := filepath.Join(t.TempDir(), "snapshot")
	made := takeSnapshot(t, s, at)
	if made.Name != "snapshot" || made.Dir != at || made.Files < 6 || made.Bytes == 0 || !made.Created.Equal(testNow) {
		t.Errorf("made is %+v", made)
	}
	// What comes later is not in it.
	sp.frame(1, after(40), 4, 5)
	send(t, session, sp.drain()...)
	pass(t, s)

	copied := open(t, testConfig(restored(t, at)))
	wantDiff(t, "restored", want, stored(t, copied, anySeries()))
	if entries, _ := copied.Ledger().Find(ledger.Query{}); len(entries) != 1 {
		t.Errorf("the ledger has %+v", entries)
	}
	// A worker goes on where the snapshot ends, and the row that it lacks comes again.
	again := openSession(t, copied, testSource(1, 1))
	if again.Resume() != sp.seq-1 {
		t.Errorf("resumes behind %d, want %d", again.Resume(), sp.seq-1)
	}
	pass(t, copied)
	wantDiff(t, "restored and sealed", want, stored(t, copied, anySeries()))
}

func TestASnapshotCanBeOpenedWithoutHarmToTheStore(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	fill(t, s)
	at := filepath.Join(t.TempDir(), "snapshot")
	takeSnapshot(t, s, at)
	want := stored(t, s, anySeries())
	copied := open(t, testConfig(at))
	session := openSession(t, copied, testSource(3, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("cpu", "z"))
	for i := range 100 {
		sp.frame(1, after(i), float64(i))
	}
	send(t, session, sp.drain()...)
	pass(t, copied)
	closeStore(t, copied)
	closeStore(t, s)
	wantDiff(t, "the store", want, stored(t, open(t, s.config), anySeries()))
}

func TestSnapshotsAreNotOverwritten(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	fill(t, s)
	made, err := s.SnapshotNamed(t.Context(), "one")
	if err != nil || made.Dir != filepath.Join(s.config.Dir, "snapshots", "one") {
		t.Fatalf("%+v, %v", made, err)
	}
	if _, err := s.SnapshotNamed(t.Context(), "one"); !errors.Is(err, snapshot.ErrExists) {
		t.Errorf("a second of that name: %v", err)
	}
	if _, found, err := snapshot.Check(t.Context(), durable.OS(), made.Dir); err != nil || len(found) > 0 {
		t.Errorf("the first is damaged: %v, %v", found, err)
	}
	for _, name := range []string{"../x", "a/b", ".", "..", ".x", "a b", strings.Repeat("x", 101)} {
		if _, err := s.SnapshotNamed(t.Context(), name); !errors.Is(err, ErrName) {
			t.Errorf("name %q: %v", name, err)
		}
	}
	if made, err := s.SnapshotNamed(t.Context(), ""); err != nil || made.Name != "20260504T120000.000Z" {
		t.Errorf("without a name: %+v, %v", made, err)
	}
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.SnapshotNamed(canceled, "two"); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
	if left, err := os.ReadDir(s.SnapshotFolder()); err != nil || len(left) != 2 {
		t.Errorf("left is %v, %v", left, err)
	}
	closeStore(t, s)
	if _, err := s.SnapshotNamed(t.Context(), "three"); !errors.Is(err, ErrClosed) {
		t.Errorf("closed: %v", err)
	}
}

// Snapshots, passes and retention go on while a worker sends. Each snapshot holds a beginning
// of what was sent: all of what was sent before it was asked for, and nothing twice.
func TestSnapshotsWhileEverythingGoesOn(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	session := openSession(t, s, testSource(1, 1))
	sp := newSpooler(t)
	sp.schema(1, gauge("cpu", "a", "b"))
	send(t, session, sp.drain()...)
	stop := make(chan struct{})
	var others sync.WaitGroup
	others.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := s.Pass(); err != nil {
				t.Error(err)
			}
			if err := s.retain(testNow); err != nil {
				t.Error(err)
			}
			if err := s.schemaLog.compact(); err != nil {
				t.Error(err)
			}
		}
	})
	sent := make(chan int, 1)
	sent <- 0
	others.Go(func() {
		for i := 0; i < 3000; i++ {
			sp.frame(1, after(i), float64(i), float64(-i))
			send(t, session, sp.drain()...)
			<-sent
			sent <- i + 1
		}
	})
	dir := t.TempDir()
	var before []int
	for n := range 8 {
		for {
			rows := <-sent
			sent <- rows
			if rows >= 300*n {
				before = append(before, rows)
				break
			}
			time.Sleep(time.Millisecond)
		}
		takeSnapshot(t, s, filepath.Join(dir, string('a'+rune(n))))
	}
	close(stop)
	others.Wait()
	for n, least := range before {
		copied := open(t, testConfig(restored(t, filepath.Join(dir, string('a'+rune(n))))))
		found := stored(t, copied, anySeries())
		if least == 0 && len(found) == 0 {
			continue
		}
		points := seriesOfDevice(t, found, "a")
		if len(points) < least {
			t.Errorf("snapshot %d: %d rows, %d were sent before", n, len(points), least)
		}
		for i, p := range points {
			if p.Value != float64(i) || p.At != int64(i) {
				t.Fatalf("snapshot %d: row %d is %+v", n, i, p)
			}
		}
		// Coverage: what is there, and no more.
		again := openSession(t, copied, testSource(1, 1))
		if got, want := again.Resume(), uint64(2+len(points)); got != want {
			t.Errorf("snapshot %d: %d rows, and the worker is told to go on behind %d", n, len(points), got)
		}
		closeStore(t, copied)
	}
}
