package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

// runTeardown runs the steps with a limit and tells how long it took.
func runTeardown(t *Teardown, limit time.Duration) (took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	began := time.Now()
	err = t.Run(ctx)
	return time.Since(began), err
}

func TestTeardownIsLastInFirstOut(t *testing.T) {
	teardown := NewTeardown(quiet())
	var order []string
	for _, name := range []string{"lock", "store", "listener"} {
		teardown.AddClose(name, func() error {
			order = append(order, name)
			if name == "listener" {
				teardown.AddClose("late", func() error {
					order = append(order, "late")
					return nil
				})
				return nil
			}
			return errors.New("broken")
		})
	}
	_, err := runTeardown(teardown, time.Minute)
	if diff := cmp.Diff([]string{"listener", "late", "store", "lock"}, order); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
	if want := "stop store: broken\nstop lock: broken"; err == nil || err.Error() != want {
		t.Errorf("got error %v, want %s", err, want)
	}
	if _, err := runTeardown(teardown, time.Minute); err != nil || len(order) != 4 {
		t.Errorf("the second run: error %v, order %v; want nothing to happen", err, order)
	}
}

func TestTeardownSharesItsTime(t *testing.T) {
	heed := func(ctx context.Context) error {
		<-ctx.Done()
		return fmt.Errorf("not flushed: %w", ctx.Err())
	}
	work := func(d time.Duration) func(context.Context) error {
		return func(ctx context.Context) error {
			select {
			case <-time.After(d):
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	for _, test := range []struct {
		name  string
		steps []func(context.Context) error // in the order they run
		took  time.Duration
		want  string
	}{
		{"quick ones leave their time to the others", []func(context.Context) error{work(1 * time.Second), work(8 * time.Second), work(10 * time.Second)},
			19 * time.Second, ""},
		{"one that heeds its context loses half", []func(context.Context) error{heed, work(9 * time.Second)}, 19 * time.Second,
			"stop 0: not flushed: context deadline exceeded"},
		{"the last one has all that is left", []func(context.Context) error{work(9 * time.Second), heed}, 20 * time.Second,
			"stop 1: not flushed: context deadline exceeded"},
	} {
		synctest.Test(t, func(t *testing.T) {
			teardown := NewTeardown(quiet())
			for i := len(test.steps) - 1; i >= 0; i-- {
				teardown.Add(fmt.Sprint(i), test.steps[i])
			}
			took, err := runTeardown(teardown, 20*time.Second)
			if took.Round(time.Second) != test.took {
				t.Errorf("%s: took %v, want %v", test.name, took, test.took)
			}
			got := ""
			if err != nil {
				got = err.Error()
			}
			if got != test.want {
				t.Errorf("%s: got error %q, want %q", test.name, got, test.want)
			}
		})
	}
}

func TestTeardownLeavesBehindWhatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		teardown := NewTeardown(quiet())
		closed := false
		teardown.AddClose("store", func() error {
			closed = true
			return nil
		})
		teardown.AddClose("stuck", func() error {
			<-release
			return nil
		})
		took, err := runTeardown(teardown, 10*time.Second)
		if want := "stop stuck: still not done after 5.25s"; err == nil || err.Error() != want {
			t.Errorf("got error %v, want %s", err, want)
		}
		if took >= 10*time.Second || !closed {
			t.Errorf("took %v, store closed %v; want less than 10s, true", took, closed)
		}
		close(release)
	})
}
