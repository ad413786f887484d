package store

import (
	"sync"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// TestEverythingAtOnce is for the race detector: streams come and go while others look.
func TestEverythingAtOnce(t *testing.T) {
	s := open(t, testConfig(t.TempDir()))
	histories := make([][]frame.Record, 3)
	for i := range histories {
		sp := newSpooler(t)
		for stream := range model.StreamID(5) {
			sp.schema(stream, gauge("g", "a", "b"), gauge("h", string('a'+rune(stream))))
			for round := range 20 {
				sp.frame(stream, after(round), 1, 2, float64(round))
			}
		}
		histories[i] = sp.drain()
	}
	var senders, readers sync.WaitGroup
	stop := make(chan struct{})
	readers.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(3 * time.Millisecond):
			}
			if err := s.Pass(); err != nil {
				t.Error(err)
			}
		}
	})
	for i, history := range histories {
		senders.Go(func() {
			for boot := range byte(3) {
				session, err := s.OpenSession(testSource(byte(i+1), boot))
				if err != nil {
					t.Error(err)
					return
				}
				for _, r := range history {
					if err := trySend(session, r); err != nil {
						t.Errorf("record %d: %v", r.Seq, err)
						return
					}
				}
				session.Wanted([]frame.PartID{{1}})
				awaitDurable(t, session, uint64(len(history)))
			}
		})
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				s.Live(workerID(byte(i + 1)))
				s.Newest(workerID(byte(i + 1)))
				s.Stats()
				s.Metadata("")
				s.sweep(testNow)
				stored(t, s, ofHost(byte(i+1)))
				if err := s.MarkStale(workerID(byte(i+1)), after(30)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	senders.Wait()
	close(stop)
	readers.Wait()
	if stats := s.Stats(); stats.Frames != 3*3*100 {
		t.Errorf("got %d frames, want 900; refused %v", stats.Frames, stats.Refused)
	}
}
