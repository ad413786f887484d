package store

import (
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// rolledHours is how many rows of rollups of an hour there are.
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
