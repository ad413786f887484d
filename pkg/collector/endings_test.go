package collector

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store"
)

// marker is a store that may refuse.
type marker struct {
	refuse func(since time.Duration) error // nil: it agrees
	begun  time.Time
	tried  []time.Duration // since begun
	marked []string        // worker and time
}

func (m *marker) mark(worker model.WorkerID, at time.Time) error {
	since := time.Since(m.begun)
	m.tried = append(m.tried, since)
	if m.refuse != nil {
		if err := m.refuse(since); err != nil {
			return fmt.Errorf("mark worker %s stale: %w", worker, err)
		}
	}
	m.marked = append(m.marked, fmt.Sprintf("%x at %v", worker[0], at.Sub(m.begun)))
	return nil
}

func nobody(model.WorkerID) bool { return false }

// fullFor refuses for a while.
func fullFor(d time.Duration) func(time.Duration) error {
	return func(since time.Duration) error {
		if since < d {
			return &store.Refusal{Cause: store.CauseDiskFull, Temporary: true}
		}
		return nil
	}
}

// endingBy runs endings against a store.
func endingBy(t *testing.T, m *marker, expected func(model.WorkerID) bool) (*endings, *words) {
	t.Helper()
	log := &words{}
	m.begun = time.Now()
	e := newEndings(m.mark, expected, log.logger(), time.Now)
	background(t, e.run)
	synctest.Wait()
	return e, log
}

func TestSeriesEndAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &marker{}
		e, log := endingBy(t, m, nobody)
		rest(time.Hour)
		e.add(row(1, expired), time.Now())
		rest(time.Hour)
		if diff := cmp.Diff([]string{"1 at 1h0m0s"}, m.marked); diff != "" {
			t.Errorf("marked (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(endingStats{Ended: 1}, e.stats()); diff != "" || log.count("worker is gone") != 1 || log.count("level=WARN") != 0 {
			t.Errorf("(-want +got):\n%s\n%s", diff, &log.text)
		}
	})
}

func TestAStoreThatRefusesIsAskedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &marker{refuse: fullFor(5 * time.Second)}
		e, log := endingBy(t, m, nobody)
		e.add(row(1, expired), time.Now())
		rest(time.Hour)
		if diff := cmp.Diff([]string{"1 at 0s"}, m.marked); diff != "" {
			t.Errorf("marked (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff([]time.Duration{0, 2 * time.Second, 4 * time.Second, 6 * time.Second}, m.tried); diff != "" {
			t.Errorf("tried (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(endingStats{Ended: 1}, e.stats()); diff != "" || log.count("level=WARN") != 1 {
			t.Errorf("want one warning, (-want +got):\n%s\n%s", diff, &log.text)
		}
	})
}

func TestWhatNoQuerySeesAnyMoreIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &marker{refuse: fullFor(24 * time.Hour)}
		e, log := endingBy(t, m, nobody)
		e.add(row(1, expired), time.Now())
		rest(time.Hour)
		if last := m.tried[len(m.tried)-1]; last < lookback || last > lookback+endingRetry {
			t.Errorf("tried for %v, want %v", last, lookback)
		}
		if diff := cmp.Diff(endingStats{Lost: 1}, e.stats()); diff != "" || log.count("were not ended") != 1 {
			t.Errorf("want one line about it, (-want +got):\n%s\n%s", diff, &log.text)
		}
	})
}

func TestWhatWillNeverPassIsGivenUp(t *testing.T) {
	for _, err := range []error{errors.New("no reason"), &store.Refusal{Cause: store.CauseBadSource}} {
		synctest.Test(t, func(t *testing.T) {
			m := &marker{refuse: func(time.Duration) error { return err }}
			e, _ := endingBy(t, m, nobody)
			e.add(row(1, expired), time.Now())
			rest(time.Hour)
			if diff := cmp.Diff(endingStats{Lost: 1}, e.stats()); diff != "" || len(m.tried) != 1 {
				t.Errorf("%v: tried %d times, (-want +got):\n%s", err, len(m.tried), diff)
			}
		})
	}
}

func TestAWorkerThatIsBackGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &marker{refuse: fullFor(3 * time.Second)}
		e, _ := endingBy(t, m, func(worker model.WorkerID) bool { return worker == id(1) && time.Since(m.begun) > time.Second })
		e.add(row(1, expired), time.Now())
		e.add(row(2, expired), time.Now())
		rest(time.Hour)
		if diff := cmp.Diff([]string{"2 at 0s"}, m.marked); diff != "" {
			t.Errorf("marked (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(endingStats{Ended: 1}, e.stats()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

// TestGoneAgainWhileTheStoreWasAsked: the second end is another one.
func TestGoneAgainWhileTheStoreWasAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &marker{}
		var e *endings
		m.refuse = func(since time.Duration) error {
			if len(m.tried) == 1 {
				e.add(row(1, expired), m.begun.Add(time.Minute))
			}
			return nil
		}
		e, _ = endingBy(t, m, nobody)
		e.add(row(1, expired), time.Now())
		synctest.Wait()
		if diff := cmp.Diff([]string{"1 at 0s", "1 at 1m0s"}, m.marked); diff != "" {
			t.Errorf("marked (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(endingStats{Ended: 2}, e.stats()); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestTheLastChanceIsAtTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &marker{refuse: fullFor(time.Second), begun: time.Now()}
		e := newEndings(m.mark, nobody, quiet(), time.Now)
		e.add(row(1, expired), time.Now())
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond) // between two tries
		defer cancel()
		if err := e.run(ctx); err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"1 at 0s"}, m.marked); diff != "" {
			t.Errorf("marked (-want +got):\n%s", diff)
		}
	})
}

func TestEndingsAreBounded(t *testing.T) {
	e := newEndings(func(model.WorkerID, time.Time) error { return nil }, nobody, quiet(), time.Now)
	for n := range maxEndings + 3 {
		e.add(row(n, expired), time.Now())
	}
	e.add(row(0, expired), time.Now()) // has its place
	if diff := cmp.Diff(endingStats{Waiting: maxEndings, Lost: 3}, e.stats()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if e.round() {
		t.Error("something waits still")
	}
	if diff := cmp.Diff(endingStats{Ended: maxEndings, Lost: 3}, e.stats()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
