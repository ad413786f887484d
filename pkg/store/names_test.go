package store

import (
	"bytes"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// logged is what was logged. Safe for concurrent use.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// reported opens a store, and returns what it has logged so far, too.
func reported(t testing.TB, d *disk) (*Store, string) {
	t.Helper()
	config, deps := on(d)
	var log logged
	deps.Log = slog.New(slog.NewTextHandler(&log, nil))
	s, err := Open(config, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, log.String()
}

// sealedAndOpen makes a store of which some rows are sealed and later ones are not.
func sealedAndOpen(t testing.TB, d *disk) map[string][]point {
	t.Helper()
	s := openOn(t, d)
	session, sp, want := mixed(t, s)
	pass(t, s)
	for i := range 5 {
		sp.frame(2, after(200+i), float64(i))
		key := `{__name__="h", dev="a", instance="host1", job="node"}`
		want[key] = append(want[key], point{At: int64(200 + i), Value: float64(i)})
	}
	send(t, session, sp.drain()...)
	wantDiff(t, "before", want, stored(t, s, anySeries()))
	closeStore(t, s)
	return want
}

func TestLostNamesAreReadFromVolumes(t *testing.T) {
	d := newDisk(1)
	want := sealedAndOpen(t, d)
	for _, name := range filesIn(d, schemasName) {
		if err := d.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	s, log := reported(t, d)
	if !strings.Contains(log, "names of series were missing") {
		t.Errorf("it is not reported:\n%s", log)
	}
	wantDiff(t, "after", want, stored(t, s, anySeries()))
	if families := s.Metadata("h"); len(families) != 1 || families[0].Help != "Help of h." {
		t.Errorf("metadata: got %+v", families)
	}
	// Worker 1 goes on where it was.
	session := openSession(t, s, testSource(1, 1))
	if session.Resume() == 0 {
		t.Error("what was received of worker 1 is forgotten")
	}
	// A new one does not inherit what the journal says of others.
	sp := newSpooler(t)
	sp.schema(1, gauge("new", "a"))
	sp.frame(1, after(300), 1)
	send(t, openSession(t, s, testSource(3, 1)), sp.drain()...)
	want[`{__name__="new", dev="a", instance="host3", job="node"}`] = points(300, 1)
	atEveryStage(t, s, func(s *Store, stage string) { wantDiff(t, stage, want, stored(t, s, anySeries())) })
	if _, log := reported(t, copied(d)); strings.Contains(log, "names of series") {
		t.Errorf("it is still reported:\n%s", log)
	}
}

func TestDamagedNamesAreReadFromVolumes(t *testing.T) {
	d := newDisk(1)
	want := sealedAndOpen(t, d)
	name := filesIn(d, schemasName)[0]
	content, _ := d.Content(name)
	for at := 0; at < len(content); at += 37 {
		for what, change := range map[string]func([]byte) []byte{
			"flipped":  func(b []byte) []byte { b[at] ^= 0x10; return b },
			"cut":      func(b []byte) []byte { return b[:at] },
			"zeroes":   func(b []byte) []byte { clear(b[at:min(len(b), at+200)]); return b },
			"inserted": func(b []byte) []byte { return append(append(b[:at:at], make([]byte, 16)...), b[at:]...) },
		} {
			stage := fmt.Sprintf("%s at %d of %d", what, at, len(content))
			hit := copied(d)
			hit.spoil(name, change)
			s, log := reported(t, hit)
			got := stored(t, s, anySeries())
			wantDiff(t, stage, want, got)
			if what == "flipped" && !(strings.Contains(log, name) && strings.Contains(log, "offset")) {
				t.Errorf("%s is not reported with file and offset:\n%s", stage, log)
			}
			closeStore(t, s)
			wantDiff(t, stage+", the next time", want, stored(t, openOn(t, hit), anySeries()))
			if t.Failed() {
				t.Fatal(log)
			}
		}
	}
}

// TestRowsOfUnknownNamesComeAgain: what was new since the last pass is in the journal only. When
// its names are lost, its rows do not count as received.
func TestRowsOfUnknownNamesComeAgain(t *testing.T) {
	d := newDisk(1)
	s := openOn(t, d)
	session, sp := openSession(t, s, testSource(1, 1)), newSpooler(t)
	sp.schema(1, gauge("g", "a"))
	sp.frame(1, after(0), 1)
	history := sp.drain()
	send(t, session, history...)
	pass(t, s)
	sp.frame(1, after(1), 2)
	sp.schema(1, gauge("fresh", "a"))
	sp.frame(1, after(2), 3)
	sp.frame(1, after(3), model.Absent())
	later := sp.drain()
	send(t, session, later...)
	closeStore(t, s)
	for _, name := range filesIn(d, schemasName) {
		if err := d.Remove(name); err != nil {
			t.Fatal(err)
		}
	}
	s = openOn(t, d)
	wantSeries(t, s, "g", "a", points(0, 1, 2)...)
	session = openSession(t, s, testSource(1, 1))
	if session.Resume() != 6 { // its schema; the frames of it are lost
		t.Errorf("resume is %d, want 6", session.Resume())
	}
	for _, r := range append(history, later...) {
		send(t, session, r)
	}
	atEveryStage(t, s, func(s *Store, _ string) {
		wantSeries(t, s, "g", "a", append(points(0, 1, 2), point{At: 2, Ended: true})...)
		wantSeries(t, s, "fresh", "a", point{At: 2, Value: 3}, point{At: 3, Ended: true})
	})
}
