package sampler

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/kernel"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Stream is the stream that the sampler's frames belong to.
const Stream model.StreamID = 1

// Output takes the records of a worker, in order. Its methods are called by one
// goroutine at a time and may block for as long as a disk takes. A spool implements
// it.
type Output interface {
	// Append takes a record. key says of a frame whether it is a key frame, and
	// samples how many values it has: columns that are not absent. The payload is
	// the caller's again when it returns. When it refuses a delta frame, it is
	// given the same round once more, as a key frame.
	Append(kind frame.Kind, stream model.StreamID, key bool, payload []byte, samples int) (seq uint64, err error)
	// Gap takes note of rounds that are in no record, and why.
	Gap(event.Gap)
}

// Deps is what a sampler needs beside its configuration. All of it is optional.
type Deps struct {
	Log    *slog.Logger
	Now    func() time.Time // wall clock, with a monotonic reading
	Worker model.WorkerID   // sets the phase of the rounds
	// Self returns what the daemon measures of itself, in a stable order,
	// named cloudless_*. It is called once a round, must not block, and its
	// result is not kept.
	Self func() []model.Metric
	// Uname and Statfs stand in for the system calls, in tests.
	Uname  func() (kernel.Uname, error)
	Statfs func(path string) (kernel.Statfs, error)
}

// Sampler measures one host. Its methods are safe for concurrent use; rounds
// exclude each other.
type Sampler struct {
	cfg      Config
	log      *slog.Logger
	now      func() time.Time
	schedule schedule
	pool     *statPool // of the filesystem collector; nil when that is off
	restart  atomic.Bool

	rounds sync.Mutex // held for a whole round; guards the next block
	slots  []*slot    // collectors, then self, then scrape
	last   int        // how many of them are not collectors
	round  round
	schema *schema
	row    []float64
	closed bool

	public sync.Mutex // held shortly; guards the next block
	stats  Stats
	counts []CollectorStats
	newest Snapshot
}

// New prepares the sampler of the host whose trees fs names. Nothing is read
// yet.
func New(cfg Config, fs kernel.FS, deps Deps) (*Sampler, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("sampler: %w", err)
	}
	s := &Sampler{cfg: cfg, log: deps.Log, now: deps.Now, schedule: newSchedule(cfg.Interval, deps.Worker)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	h := &host{fs: fs, stat: newStatSource(fs), uname: deps.Uname, statfs: deps.Statfs}
	if h.uname == nil {
		h.uname = kernel.ReadUname
	}
	if h.statfs == nil {
		h.statfs = kernel.ReadStatfs
	}
	for _, entry := range table() {
		if !entry.enabled(&cfg.Collectors) {
			continue
		}
		c, err := entry.build(h, &cfg.Collectors)
		if err != nil {
			return nil, fmt.Errorf("sampler: collector %q: %w", entry.name, err)
		}
		if mounts, is := c.(*filesystem); is {
			s.pool = mounts.pool
		}
		s.slots = append(s.slots, &slot{name: entry.name, collector: c})
	}
	how := &scrape{slots: s.slots[:len(s.slots):len(s.slots)]}
	if deps.Self != nil {
		s.slots = append(s.slots, &slot{name: selfPart, collector: &self{metrics: deps.Self}})
		s.last++
	}
	s.counts = make([]CollectorStats, len(s.slots))
	for i, slot := range s.slots { // the names are known before the first round is
		s.counts[i].Name = slot.name
	}
	last := &slot{name: scrapePart, collector: how, outcome: delivered}
	how.describe(&last.sheet)
	s.slots = append(s.slots, last)
	s.last++
	return s, nil
}

// Run samples until ctx ends, at once and then whenever a round is due, and
// appends the records to out. Rounds that fell due while another was under way, and
// rounds that out refuses, are counted and logged, and out is told of the gap. It
// returns nil; it may be called again.
func (s *Sampler) Run(ctx context.Context, out Output) error {
	recorder := newRecorder(out, Stream, s.cfg.KeyEvery)
	timer := time.NewTimer(0)
	defer timer.Stop()
	var due time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		}
		began := s.now()
		if due.IsZero() {
			due = began
		}
		s.once(began, recorder)
		ended := s.now()
		if missed := s.schedule.missed(ended.Sub(began)); missed > 0 {
			s.skip(missed)
			out.Gap(event.Gap{Cause: event.RoundSkipped, From: model.Millis(began.UnixMilli()), To: model.Millis(ended.UnixMilli()),
				Text: fmt.Sprintf("%d of them; one took %s", missed, ended.Sub(began).Round(time.Millisecond))})
		}
		due = s.schedule.after(ended, due)
		timer.Reset(due.Sub(ended))
	}
}

// once makes a round and records it.
func (s *Sampler) once(at time.Time, recorder *recorder) {
	s.rounds.Lock()
	defer s.rounds.Unlock()
	if s.sample(at) != nil {
		return // told already
	}
	if s.restart.Swap(false) {
		recorder.restart()
	}
	before := recorder.totals
	round, samples := model.Millis(at.UnixMilli()), present(s.row)
	err := recorder.record(round, s.schema, s.row, samples)
	if err != nil {
		s.log.Warn("cannot record a round", "err", err)
		recorder.out.Gap(event.Gap{Cause: event.SpoolFull, From: round, To: round, Frames: 1, Samples: uint64(samples), Text: err.Error()})
	}
	after := recorder.totals
	s.public.Lock()
	defer s.public.Unlock()
	s.stats.Frames += after.Frames - before.Frames
	s.stats.KeyFrames += after.KeyFrames - before.KeyFrames
	s.stats.Parts += after.Parts - before.Parts
	s.stats.FrameBytes += after.FrameBytes - before.FrameBytes
	if err != nil {
		s.stats.OutputFails++
	}
}

// present counts the values of a row that are not absent.
func present(row []float64) (n int) {
	for _, v := range row {
		if !model.IsAbsent(v) {
			n++
		}
	}
	return n
}

func (s *Sampler) skip(rounds uint64) {
	s.log.Warn("a round took longer than the interval", "skipped", rounds)
	s.public.Lock()
	defer s.public.Unlock()
	s.stats.Skipped += rounds
}

// SampleOnce makes one round and returns it, for printing. Counters that the
// kernel keeps are complete after one round, so nothing is missing from it.
func (s *Sampler) SampleOnce() (Snapshot, error) {
	s.rounds.Lock()
	defer s.rounds.Unlock()
	if err := s.sample(s.now()); err != nil {
		return Snapshot{}, err
	}
	snapshot, _ := s.Newest()
	return snapshot, nil
}

// Restart makes the next round begin with all definitions and a key frame: for
// an output that has lost what it was given before.
func (s *Sampler) Restart() { s.restart.Store(true) }

// Newest returns a copy of the newest round, and false before the first. It
// does not wait for a round.
func (s *Sampler) Newest() (snapshot Snapshot, ok bool) {
	s.public.Lock()
	defer s.public.Unlock()
	if s.newest.Parts == nil {
		return Snapshot{}, false
	}
	snapshot = s.newest
	snapshot.Row = append([]float64(nil), s.newest.Row...)
	return snapshot, true
}

// errClosed is returned by a round after Close.
var errClosed = errors.New("sampler is closed")

// Close releases descriptors and goroutines, except for those that hang on a
// dead mount. It waits for a round under way. Call it after Run has returned.
func (s *Sampler) Close() error {
	s.rounds.Lock()
	defer s.rounds.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	for _, slot := range s.slots {
		slot.collector.close()
	}
	return nil
}
