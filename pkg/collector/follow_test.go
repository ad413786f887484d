package collector

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func nobodyEnds(t *testing.T) func(api.RegisteredWorker, time.Time) {
	return func(row api.RegisteredWorker, _ time.Time) { t.Errorf("worker %v ended", row.ID) }
}

// following runs a view of the office.
func following(t *testing.T, o *office) (*fleetView, *words) {
	t.Helper()
	log := &words{}
	v := newFleetView(o.client(t), nobodyEnds(t), log.logger(), time.Now)
	background(t, v.run)
	synctest.Wait()
	return v, log
}

// rest lets time pass, and everybody finish what falls due until then.
func rest(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// background runs a part until the test ends; parts end in the order of a
// teardown.
func background(t *testing.T, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func (v *fleetView) stateOf(n int) model.WorkerState {
	one, _ := v.get(id(n))
	return one.State
}

func TestTheViewFollowsTheRegister(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(row(1, registered))
		v, log := following(t, o)
		for _, state := range []model.WorkerState{registered, suspect, registered} {
			o.write(row(1, state), row(2, registered))
			synctest.Wait()
			if v.stateOf(1) != state || v.stateOf(2) != registered {
				t.Errorf("got %v, want %v at once", v.stateOf(1), state)
			}
		}
		time.Sleep(time.Hour)
		asked, _ := o.look()
		if polls := int(time.Hour/pollWait) + 4; asked < polls || asked > polls+1 {
			t.Errorf("asked %d times in an hour, want %d", asked, polls)
		}
		if s := v.stats(); s.Errors != 0 || s.Failing || log.count("coordinator") != 0 {
			t.Errorf("got %+v and a log, want no failures", s)
		}
	})
}

func TestACoordinatorThatIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(row(1, registered))
		v, log := following(t, o)
		o.set(func() { o.trouble = away{} })
		o.write(row(1, registered)) // ends the poll
		time.Sleep(time.Minute)
		if s := v.stats(); !s.Failing || s.Errors < 55 || s.Errors > 61 {
			t.Errorf("after a minute: %+v, want an attempt each second", s)
		}
		rows := v.all(t.Context())
		if _, known := v.find(t.Context(), id(1)); !known || len(rows) != 1 {
			t.Errorf("the view has %d workers, want what it had", len(rows))
		}
		if _, known := v.find(t.Context(), id(2)); known {
			t.Error("found a worker that does not exist")
		}
		o.set(func() { o.trouble = nil })
		time.Sleep(time.Minute)
		if v.stats().Failing || log.count("does not answer") != 1 || log.count("answers again") != 1 {
			t.Errorf("failing %v; want one line each of it\n%s", v.stats().Failing, &log.text)
		}
	})
}

func TestTheEndInTheMiddleOfAnything(t *testing.T) {
	for name, change := range map[string]func(*office){
		"a poll":              func(*office) {},
		"a poll without end":  func(o *office) { o.hangs = true },
		"the pause after one": func(o *office) { o.trouble = away{} },
	} {
		synctest.Test(t, func(t *testing.T) {
			o := newOffice()
			change(o)
			log := &words{}
			v := newFleetView(o.client(t), nobodyEnds(t), log.logger(), time.Now)
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			begun := time.Now()
			if err := v.run(ctx); err != nil || time.Since(begun) != 500*time.Millisecond {
				t.Errorf("%s: run returned %v after %v", name, err, time.Since(begun))
			}
			if s := v.stats(); s.Failing != (o.trouble != nil) {
				t.Errorf("%s: got %+v; that we stop is no failure", name, s)
			}
		})
	}
}

func TestWhoIsKnownIsFoundWithoutAsking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(row(1, registered))
		v, _ := following(t, o)
		before, _ := o.look()
		for range 100 {
			if _, known := v.find(t.Context(), id(1)); !known {
				t.Fatal("not found")
			}
		}
		if after, _ := o.look(); after != before {
			t.Errorf("asked %d times for a known worker", after-before)
		}
	})
}

// TestANewcomerIsFoundBeforeAPollTells: it registers and connects at once.
func TestANewcomerIsFoundBeforeAPollTells(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(row(1, expired), row(2, registered))
		v := newFleetView(o.client(t), nobodyEnds(t), quiet(), time.Now) // it does not poll
		if one, known := v.find(t.Context(), id(1)); !known || one.State != expired {
			t.Errorf("got %v, %v; want the expired worker", one.State, known)
		}
		o.write(row(1, registered), row(3, registered))
		if one, _ := v.find(t.Context(), id(1)); one.State != registered {
			t.Errorf("got %v, want the worker that is back", one.State)
		}
		if _, known := v.find(t.Context(), id(3)); !known {
			t.Error("the newcomer was not found")
		}
	})
}

func TestManyStrangersCauseFewRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(row(1, registered))
		v, _ := following(t, o)
		time.Sleep(time.Second)
		before, _ := o.look()
		var all sync.WaitGroup
		for range 500 {
			all.Go(func() {
				if _, known := v.find(t.Context(), id(2)); known {
					t.Error("found a stranger")
				}
			})
		}
		all.Wait()
		if after, _ := o.look(); after-before > 2 {
			t.Errorf("%d requests for 500 callers at once, want 2 at most", after-before)
		}
		before, _ = o.look()
		begun := time.Now()
		for range 40 {
			v.find(t.Context(), id(2))
		}
		after, _ := o.look()
		if most := int(time.Since(begun)/refreshGap) + 1; after-before > most {
			t.Errorf("%d requests in %v for callers one after the other, want %d at most", after-before, time.Since(begun), most)
		}
	})
}

func TestAHangingCoordinatorHoldsNobodyForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(row(1, registered))
		v, log := following(t, o)
		o.set(func() { o.hangs = true })
		begun := time.Now()
		var all sync.WaitGroup
		for range 100 {
			all.Go(func() { v.find(t.Context(), id(2)) })
			all.Go(func() {
				if rows := v.all(t.Context()); len(rows) != 1 {
					t.Errorf("got %d workers, want the one that is known", len(rows))
				}
			})
		}
		all.Wait()
		if took := time.Since(begun); took > refreshTimeout+refreshGap {
			t.Errorf("callers waited for %v, want %v at most", took, refreshTimeout+refreshGap)
		}
		if v.stats().Errors == 0 || log.count("coordinator") != 0 {
			t.Errorf("%d errors counted; want some, and the poll to tell of it\n%s", v.stats().Errors, &log.text)
		}
	})
}

func TestACallerThatGoesIsNoFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(row(1, registered))
		v, _ := following(t, o)
		o.set(func() { o.hangs = true })
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan struct{})
		for range 2 { // one asks, one waits for its turn
			go func() {
				v.find(ctx, id(2))
				gone <- struct{}{}
			}()
		}
		synctest.Wait()
		cancel()
		<-gone
		<-gone
		if s := v.stats(); s.Errors != 0 || s.Failing {
			t.Errorf("got %+v, want no failure", s)
		}
		o.set(func() { o.hangs = false })
		o.write(row(2, registered))
		if _, known := v.find(t.Context(), id(2)); !known {
			t.Error("the next caller does not get an answer")
		}
	})
}

func TestLeasesAreFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := newOffice()
		v, _ := following(t, o)
		for _, left := range []int64{30_000, 20_000} {
			one := row(1, registered)
			one.LeaseRemaining = left
			o.set(func() { o.rows[one.ID] = one }) // no change that a poll would tell
			time.Sleep(refreshAfter + time.Millisecond)
			before, _ := o.look()
			for range 10 {
				if rows := v.all(t.Context()); len(rows) != 1 || rows[0].LeaseRemaining != left {
					t.Errorf("got %+v, want %d ms left", rows, left)
				}
			}
			if after, _ := o.look(); after != before+1 {
				t.Errorf("asked %d times, want once", after-before)
			}
		}
	})
}

// TestOverTheNetwork follows the office by a real connection.
func TestOverTheNetwork(t *testing.T) {
	o := newOffice(row(1, registered))
	server := httptest.NewUnstartedServer(o.handler())
	server.EnableHTTP2 = true
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	client, err := api.NewControlClient(server.URL, &http.Client{Transport: server.Client().Transport})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan model.WorkerID, 10)
	v := newFleetView(client, func(row api.RegisteredWorker, _ time.Time) { ended <- row.ID }, quiet(), time.Now)
	background(t, v.run)
	if _, known := v.find(t.Context(), id(1)); !known {
		t.Error("worker not found")
	}
	o.write(row(1, left))
	if got := <-ended; got != id(1) {
		t.Errorf("%v ended, want %v", got, id(1))
	}
	v.all(t.Context())
	if len(ended) != 0 || v.stateOf(1) != left {
		t.Errorf("%d more ends, state %v; want it once", len(ended), v.stateOf(1))
	}
}
