package store

import (
	"sync"
	"testing"
	"time"
)

// TestAnswersWhileRollupsAreMade: rows go from the journal into volumes and into rollups, late ones
// too, and every answer is right meanwhile.
func TestAnswersWhileRollupsAreMade(t *testing.T) {
	s, w, session := rolledHours(t)
	from, to := testNow.Add(-9*time.Hour), testNow.Add(-5*time.Hour)
	want, _ := askMax(t, s, from, to)
	stop := make(chan struct{})
	var others sync.WaitGroup
	for range 2 {
		others.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				got, warnings := askMax(t, s, from, to)
				if len(warnings) > 0 {
					t.Errorf("warnings %v", warnings)
				}
				for i := range want {
					if i >= len(got) || got[i] != want[i] {
						t.Errorf("got %v, want %v", got, want)
						return
					}
				}
			}
		})
	}
	for i := range 10 {
		// Late, and lower than what there is.
		send(t, session, w.frame(1, testNow.Add(-time.Duration(5+i%4)*time.Hour-time.Duration(i+1)*time.Second), 1, 1))
		w.drain()
		pass(t, s)
		roll(t, s)
	}
	close(stop)
	others.Wait()
	if rolls := s.Stats().Rolls; rolls < 10 {
		t.Errorf("%d rolls", rolls)
	}
}
