package daemon

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logging"
)

// untilTold is a part that does what it should.
func untilTold(ctx context.Context) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestGroupStopsInReverseOrderAmidReleases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		teardown := NewTeardown(quiet())
		group := NewGroup(quiet(), teardown)
		var order []string
		note := func(what string) func() error {
			return func() error {
				order = append(order, what)
				return nil
			}
		}
		part := func(name string) func(context.Context) error {
			return func(ctx context.Context) error {
				<-ctx.Done()
				time.Sleep(time.Second) // what finishing takes
				return note(name + " ended")()
			}
		}
		teardown.AddClose("store", note("store closed"))
		group.Go("rules", part("rules"))
		group.Go("api", part("api"))
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := group.Wait(ctx); err != nil {
			t.Errorf("Wait returned %v when told to stop, want nil", err)
		}
		if len(order) > 0 {
			t.Errorf("%v before the teardown; the end of the context stops nothing", order)
		}
		if _, err := runTeardown(teardown, time.Minute); err != nil {
			t.Errorf("teardown: %v", err)
		}
		if diff := cmp.Diff([]string{"api ended", "rules ended", "store closed"}, order); diff != "" {
			t.Errorf("order (-want +got):\n%s", diff)
		}
	})
}

func TestTheFirstFailureEndsTheGroup(t *testing.T) {
	broken := errors.New("broken")
	for _, test := range []struct {
		name  string
		part  func(context.Context) error
		want  string
		cause error
	}{
		{"an error", func(context.Context) error { return broken }, "api: broken", broken},
		{"ended without being told", func(context.Context) error { return nil }, "api: ended by itself", ErrEnded},
		{"a cancelled context of its own", func(context.Context) error { return context.Canceled }, "api: context canceled", context.Canceled},
	} {
		synctest.Test(t, func(t *testing.T) {
			teardown := NewTeardown(quiet())
			group := NewGroup(quiet(), teardown)
			group.Go("store", untilTold)
			group.Go("api", func(ctx context.Context) error {
				time.Sleep(time.Second)
				return test.part(ctx)
			})
			group.Go("late", func(context.Context) error {
				time.Sleep(2 * time.Second)
				return errors.New("second failure")
			})
			err := group.Wait(t.Context())
			if err == nil || err.Error() != test.want || !errors.Is(err, test.cause) {
				t.Errorf("%s: Wait returned %v, want %s", test.name, err, test.want)
			}
			time.Sleep(2 * time.Second)
			if _, err := runTeardown(teardown, time.Minute); err != nil {
				t.Errorf("%s: teardown told a failure again: %v", test.name, err)
			}
		})
	}
}

func TestAPartThatFailsWhileStopping(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		teardown := NewTeardown(quiet())
		group := NewGroup(quiet(), teardown)
		group.Go("spool", func(ctx context.Context) error {
			<-ctx.Done()
			return errors.New("not flushed")
		})
		group.Go("deaf", func(context.Context) error {
			time.Sleep(time.Hour)
			return nil
		})
		_, err := runTeardown(teardown, 10*time.Second)
		want := "stop deaf: still running: context deadline exceeded\nstop spool: not flushed"
		if err == nil || err.Error() != want {
			t.Errorf("got error %v, want %s", err, want)
		}
		time.Sleep(time.Hour)
	})
}

func TestAFailureAfterTheWaitIsLogged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		teardown := NewTeardown(quiet())
		group := NewGroup(slog.New(logging.NewTextHandler(&log, slog.LevelInfo)), teardown)
		group.Go("api", func(context.Context) error {
			time.Sleep(2 * time.Second)
			return errors.New("broken")
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := group.Wait(ctx); err != nil {
			t.Errorf("Wait returned %v, want nil", err)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if want := "ERROR another part failed step=api err=broken\n"; !strings.HasSuffix(log.String(), want) {
			t.Errorf("logged %q, want %s", log.String(), want)
		}
		if _, err := runTeardown(teardown, time.Minute); err != nil {
			t.Errorf("teardown: %v", err)
		}
	})
}
