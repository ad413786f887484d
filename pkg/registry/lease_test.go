package registry

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestSuspectAndExpiredToTheTick(t *testing.T) {
	running(t, t.TempDir(), DefaultConfig(), func(t *testing.T, r *Registry) {
		start := time.Now()
		probe(r, 1, 10*time.Second)
		steps := []struct {
			at   time.Duration
			do   func()
			want model.WorkerState
		}{
			{0, nil, model.Registered},
			{5*time.Second - 1, nil, model.Registered},
			{5 * time.Second, nil, model.Suspect},
			{8 * time.Second, func() { r.Contact(testID(1), time.Time{}) }, model.Registered},
			{13*time.Second - 1, nil, model.Registered},
			{13 * time.Second, nil, model.Suspect},
			{18*time.Second - 1, nil, model.Suspect},
			{18 * time.Second, nil, model.Expired},
			{500 * time.Second, nil, model.Expired},
			{501 * time.Second, func() { probe(r, 1, 4*time.Second) }, model.Registered}, // a shorter lease
			{503*time.Second - 1, nil, model.Registered},
			{503 * time.Second, nil, model.Suspect},
			{505 * time.Second, nil, model.Expired},
			{506 * time.Second, func() { r.Contact(testID(1), time.Now().Add(-time.Second)) }, model.Registered},
			{507 * time.Second, func() { probe(r, 1, 20*time.Second) }, model.Registered}, // a longer one
			{517*time.Second - 1, nil, model.Registered},
			{517 * time.Second, nil, model.Suspect},
			{527 * time.Second, nil, model.Expired},
		}
		for _, step := range steps {
			passUntil(start, step.at)
			if step.do != nil {
				step.do()
			}
			if got := stateOf(r, 1); got != step.want {
				t.Errorf("after %v: %v, want %v", step.at, got, step.want)
			}
		}
		if s := r.Stats(); s.Expirations != 3 || s.Suspicions != 5 || s.Revivals != 4 || s.States[model.Expired] != 1 {
			t.Errorf("%d expirations, %d suspicions, %d revivals; want 3, 5, 4", s.Expirations, s.Suspicions, s.Revivals)
		}
	})
}

// A clock that steps, without a monotonic reading to fall back on, expires
// nobody who was heard.
func TestClockStep(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		var offset time.Duration
		now := func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Round(0).Add(offset)
		}
		r, err := Open(dir, DefaultConfig(), Deps{Now: now})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error, 1)
		go func() { done <- r.Run(t.Context()) }()
		probe(r, 1, 10*time.Second)
		probe(r, 2, 10*time.Second)
		mu.Lock()
		offset = -time.Hour
		mu.Unlock()
		for range 20 {
			time.Sleep(4 * time.Second)
			r.Contact(testID(1), time.Time{})
			if got := stateOf(r, 1); got != model.Registered {
				t.Fatalf("the worker that is heard is %v", got)
			}
		}
		r.Close()
		if s := r.Stats(); s.Expirations != 0 {
			t.Errorf("%d expirations", s.Expirations)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// A hundred thousand workers, leases from one second to a minute, silent from
// different times on: each expires exactly once, exactly when its lease is
// spent, and nobody else is looked at. The disk is left out of it.
func TestManyExpireExactly(t *testing.T) {
	const n = 100_000
	cfg := DefaultConfig()
	cfg.MaxWorkers = n
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r, err := Open(dir, cfg, Deps{})
		if err != nil {
			t.Fatal(err)
		}
		defer r.disk.Close() // instead of Close, which writes
		ctx, cancel := context.WithCancel(t.Context())
		var firing sync.WaitGroup
		defer firing.Wait()
		defer cancel()
		firing.Go(func() { r.fireUntil(ctx) })
		start := time.Now()
		due, keepAlive := make([]time.Time, n), make([]time.Duration, n)
		for i := range n {
			keepAlive[i] = time.Duration(1000+i%59_001) * time.Millisecond
			probe(r, i, keepAlive[i])
			due[i] = start.Add(keepAlive[i])
		}
		for second := 4; second <= 20; second += 4 {
			passUntil(start, time.Duration(second)*time.Second)
			for i := range n {
				if i%20 >= second && due[i].After(time.Now()) {
					r.Contact(testID(i), time.Time{})
					due[i] = time.Now().Add(keepAlive[i])
				}
			}
		}
		early := r.Stats()
		passUntil(start, 2*time.Minute)
		s := r.Stats()
		if s.States[model.Expired] != n || s.Expirations != n {
			t.Fatalf("%d expired, %d expirations; want %d", s.States[model.Expired], s.Expirations, n)
		}
		for i, at := range due {
			if w, _ := r.Worker(testID(i)); !w.Since.Equal(at) {
				t.Fatalf("%s with a lease of %v expired %v late", w.Instance, w.KeepAlive, w.Since.Sub(at))
			}
		}
		if fired := s.TimersFired - early.TimersFired; fired > 3*n {
			t.Errorf("%d deadlines looked at for %d workers", fired, n)
		}
		if s.Timers != 0 {
			t.Errorf("%d timers left", s.Timers)
		}
	})
}
