package worker

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust/home"
)

// lives is a workerd that begins and ends lives, each of which measures one round at
// once.
func lives(t *testing.T) (r *resident, live func(id model.WorkerID) *life) {
	r = prepare(t, surroundings(t, 1, &wire{}), modest(t))
	return r, func(id model.WorkerID) *life {
		t.Helper()
		l, err := r.begin(id, ours)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.end)
		gapsOf(t, l) // waits for the round
		return l
	}
}

// gapsOf returns the gaps that a life tells of before its first frame.
func gapsOf(t *testing.T, l *life) (gaps []event.Gap) {
	t.Helper()
	st, err := l.spool.Live(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for after := uint64(0); ; {
		raw, last, err := st.Next(t.Context(), after, nil, 1)
		if err != nil {
			t.Fatal(err)
		}
		after = last
		record, _, err := frame.ParseRecord(raw)
		if err != nil {
			t.Fatal(err)
		}
		if record.Kind == frame.KindFrame {
			return gaps
		}
		if e, err := event.Parse(record.Payload); record.Kind == frame.KindEvent && err == nil {
			gaps = append(gaps, *e.Gap)
		}
	}
}

// TestWhatWasMeasuredOutlivesTheProcess as long as it is the same worker.
func TestWhatWasMeasuredOutlivesTheProcess(t *testing.T) {
	r, live := lives(t)
	first := live(r.home.Worker())
	if gaps := gapsOf(t, first); len(gaps) != 0 {
		t.Errorf("the first life: gaps %+v", gaps)
	}
	first.end()

	second := live(r.home.Worker())
	if gaps := gapsOf(t, second); len(gaps) != 1 || gaps[0].Cause != event.AgentStopped {
		t.Errorf("the second life: gaps %+v, want one of a stop", gaps)
	}
	old, err := second.spool.Backlog(t.Context())
	if err != nil || old.Boot() != first.spool.Boot() {
		t.Fatalf("backlog of %v, %v; want one of the first life", old, err)
	}
	second.end()

	third := live(model.WorkerID{9})
	gaps := gapsOf(t, third)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := third.spool.Backlog(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("another worker has a backlog of the one before: %v", err)
	}
	if len(gaps) != 2 || gaps[0].Cause != event.IdentityChanged || gaps[0].Samples == 0 {
		t.Errorf("another worker: gaps %+v, want two of the change of identity", gaps)
	}
}

// TestOneFolderOneLife: a second life does not begin beside the first.
func TestOneFolderOneLife(t *testing.T) {
	r, live := lives(t)
	live(r.home.Worker())
	if _, err := r.begin(r.home.Worker(), ours); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("got %v", err)
	}
}

func TestTheStatusTellsOfTheBacklog(t *testing.T) {
	for _, c := range []struct {
		status Status
		want   string
	}{
		{Status{}, "none"},
		{Status{Waiting: 3 << 19, WaitingFor: 11520}, "1.5 MiB, the oldest for 3h12m0s"},
		{Status{Spool: "disk is full"}, "none; kept in memory, as the disk does not take it: disk is full"},
	} {
		if got := c.status.backlog(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	a, b := Status{Waiting: 1, WaitingFor: 60}, Status{Waiting: 2, WaitingFor: 61}
	if !sameStatus(a, b) || sameStatus(a, Status{}) {
		t.Errorf("a backlog that grows is news, or one that ends is none")
	}
	r, live := lives(t)
	l := live(r.home.Worker())
	r.life.Store(l)
	var s Status
	if r.refreshStatus(&s); s.Waiting != 0 || s.Spool != "" {
		t.Errorf("just measured: %+v", s)
	}
	r.life.Store(nil)
}

func TestPrepareImageForgetsWhatWasMeasured(t *testing.T) {
	r, live := lives(t)
	live(r.home.Worker()).end()
	if err := home.Wipe(string(r.state)); err != nil {
		t.Fatal(err)
	}
	if err := r.state.wipe(); err != nil {
		t.Fatal(err)
	}
	l := live(r.home.Worker())
	if stats := l.spool.Stats(); stats.FormerBoots != 0 || len(gapsOf(t, l)) != 0 {
		t.Errorf("%+v", stats)
	}
}

func TestHostStarted(t *testing.T) {
	env := surroundings(t, 1, nil)
	if at := hostStarted(env.kernel); !at.IsZero() {
		t.Errorf("without /proc/stat: %v", at)
	}
}
