package ledger

import (
	"sync"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// TestAllAtOnce: sessions, group commits, housekeeping and people who ask.
func TestAllAtOnce(t *testing.T) {
	b := newBench(t)
	b.cfg.MaxPerWorker = 64
	b.reopen()
	const sessions, each = 8, 500
	var writers, others sync.WaitGroup
	turns := make(chan struct{})
	for n := range byte(sessions) {
		writers.Go(func() {
			for seq := uint64(1); seq <= each; seq++ {
				if seq%2 == 0 {
					b.Refused(workerOf(n/2), bootOf(n), seq, event.RefusedLimit, start, 500)
				} else {
					b.Add(Report{workerOf(n / 2), bootOf(n), seq, event.Gap{Cause: event.SpoolFull, From: start, To: start, Frames: 1, Samples: 500}})
				}
				if seq%50 == 0 {
					if err := b.Sync(); err != nil {
						t.Error(err)
					}
					turns <- struct{}{}
				}
			}
		})
	}
	for _, task := range []func(){
		func() { b.Find(Query{Limit: 10}) },
		func() { b.Totals(Query{Worker: workerOf(1)}); b.Stats() },
		b.Tend,
		func() {
			b.saving.Lock()
			defer b.saving.Unlock()
			if err := b.rewrite(); err != nil {
				t.Error(err)
			}
		},
	} {
		others.Go(func() {
			for range turns {
				task()
			}
		})
	}
	writers.Wait()
	close(turns)
	others.Wait()
	b.check(t)
	b.sync()
	want := []Total{{Cause: event.RefusedLimit, Frames: sessions * each / 2}, {Cause: event.SpoolFull, Frames: sessions * each / 2}}
	for i, total := range b.Totals(Query{}) {
		if total.Cause != want[i].Cause || total.Frames != want[i].Frames || total.Samples != 500*want[i].Frames {
			t.Errorf("got %+v, want %+v", total, want[i])
		}
	}
	b.reopen()
	if got := b.Totals(Query{Worker: workerOf(3)}); len(got) != 2 || got[0].Frames != each || model.Millis(0) != got[0].From-start {
		t.Errorf("of one worker: %+v", got)
	}
}
