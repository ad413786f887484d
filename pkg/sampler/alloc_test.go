package sampler

import (
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/kernel"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// nowhere is an output that keeps nothing.
type nowhere struct{ seq uint64 }

func (o *nowhere) Append(frame.Kind, model.StreamID, bool, []byte, int) (uint64, error) {
	o.seq++
	return o.seq, nil
}

func (o *nowhere) Gap(event.Gap) {}

// A round that finds the devices of the last one must not allocate, in any
// collector: garbage would be most of an agent's cost.
func TestSteadyRoundsDoNotAllocate(t *testing.T) {
	for _, entry := range table() {
		t.Run(entry.name, func(t *testing.T) {
			h := newTestHost(t).only(entry.name)
			steady(t, h.sampler())
		})
	}
	t.Run("all of this host", func(t *testing.T) {
		cfg := DefaultConfig()
		cfg.Collectors.Filesystem.Enabled = false // statfs copies its path
		s, err := New(cfg, kernel.Host(), Deps{Self: func() []model.Metric { return nil }})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		steady(t, s)
	})
}

func steady(t *testing.T, s *Sampler) {
	t.Helper()
	recorder := newRecorder(&nowhere{}, Stream, 1000)
	for range 3 {
		s.once(s.now(), recorder)
	}
	// A test host's clock stands still, so nothing that is looked at once a
	// minute is due. Below 1: a neighbour may plug in a device, once.
	if n := testing.AllocsPerRun(100, func() { s.once(s.now(), recorder) }); n != 0 {
		t.Errorf("%v allocations a round, want 0", n)
	}
}

// BenchmarkRound is a whole round of this very host, recorded as a frame.
func BenchmarkRound(b *testing.B) {
	s, err := New(DefaultConfig(), kernel.Host(), Deps{})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	benchmarkRounds(b, s)
}

// BenchmarkCollector is a round of this host with one collector only.
func BenchmarkCollector(b *testing.B) {
	for _, entry := range table() {
		b.Run(entry.name, func(b *testing.B) {
			h := (&testHost{t: b, cfg: DefaultConfig()}).only(entry.name)
			s, err := New(h.cfg, kernel.Host(), Deps{})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			benchmarkRounds(b, s)
		})
	}
}

func benchmarkRounds(b *testing.B, s *Sampler) {
	recorder := newRecorder(&nowhere{}, Stream, DefaultConfig().KeyEvery)
	b.ReportAllocs()
	for b.Loop() {
		s.once(s.now(), recorder)
	}
	stats := s.Stats()
	b.ReportMetric(float64(stats.Series), "series")
	b.ReportMetric(float64(stats.FrameBytes)/float64(stats.Frames)/float64(max(stats.Series, 1)), "bytes/sample")
}
