package store

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

const (
	// rollLate is how long after a rollup was made it is made again for late rows.
	rollLate = 4 * time.Hour
	// rollPartly is how much of a window that is not complete must be new: queries read the
	// rows of that time.
	rollPartly = model.Millis(24 * time.Hour / time.Millisecond)
	// rollMargin is how far rows must be beyond a window for it to be complete: most of what
	// is late is there then. Also, how long before rows go their rollups are made.
	rollMargin = model.Millis(time.Hour / time.Millisecond)
	// rollShare is for how long is worked until the collector's other work has as much.
	rollShare = 20 * time.Millisecond
)

// rolls is what the store knows of its rollups besides the volumes.
type rolls struct {
	// rolling is held while a rollup is made, and by Import.
	rolling sync.Mutex
	wake    chan struct{}

	mu sync.Mutex // guards what follows
	// touched are the ends of the grains in which a raw volume has rows.
	touched map[uint64][]model.Millis
	// tried are the windows for which there was nothing to keep, as of a number.
	tried map[rollWindowKey]uint64
	// gone is what goneTo has found, as of Store.published.
	gone     model.Millis
	goneAt   uint64
	goneSeen bool

	made, errors atomic.Uint64
	time         atomic.Int64
}

type rollWindowKey struct {
	tier volume.Tier
	end  model.Millis
}

// rollJob is a window that is to be made.
type rollJob struct {
	tier     rollTier
	end      model.Millis
	frontier model.Millis
}

// rolledFiles are the volumes of a tier of rollups.
type rolledFiles struct {
	*volume.View
	tier rollTier
}

func (s *Store) rolled(t rollTier) rolledFiles {
	return rolledFiles{s.volumes.Files(t.volume, -1<<62, 1<<62), t}
}

// newest are those that count, by the ends of their windows.
func (f rolledFiles) newest() map[model.Millis]*volume.File {
	newest := map[model.Millis]*volume.File{}
	for _, one := range f.Files() { // by number
		if end, ok := f.tier.windowOf(one); ok {
			newest[end] = one
		}
	}
	return newest
}

// dropReplaced removes rollups that others have replaced. Called with passing held, or before
// anything runs.
func (s *Store) dropReplaced() error {
	var errs []error
	for _, t := range rollTiers() {
		held := s.rolled(t)
		newest := held.newest()
		for _, f := range held.Files() {
			if end, ok := t.windowOf(f); ok && newest[end] != f {
				errs = append(errs, s.volumes.Remove(f))
				s.published.Add(1)
			}
		}
		held.Release()
	}
	return errors.Join(errs...)
}

// Roll makes all rollups that can be made of what is sealed. It is done by itself, window by
// window, when they are complete; a caller may want it earlier. Appends, passes and queries go
// on meanwhile; it waits for an import. The error is that of the disk, or ErrClosed.
func (s *Store) Roll() error {
	s.rolls.rolling.Lock()
	defer s.rolls.rolling.Unlock()
	jobs, err := s.rollJobs(true, false)
	if err != nil {
		return err
	}
	for _, job := range jobs {
		if err := s.roll(job, func() error { return nil }); err != nil {
			return err
		}
	}
	return nil
}

// roll makes one window. Called with rolling held.
func (s *Store) roll(job rollJob, pause func() error) error {
	started := time.Now()
	number, made, err := s.rollWindow(job.tier, job.end, job.frontier, pause)
	s.rolls.time.Add(int64(time.Since(started)))
	if err != nil {
		s.rolls.errors.Add(1)
		return fmt.Errorf("store: rollup of %v up to %v: %w", job.tier.volume, time.UnixMilli(int64(job.end)).UTC(), err)
	}
	if made {
		s.rolls.made.Add(1)
		return nil
	}
	s.rolls.mu.Lock()
	defer s.rolls.mu.Unlock()
	if s.rolls.tried == nil {
		s.rolls.tried = map[rollWindowKey]uint64{}
	}
	s.rolls.tried[rollWindowKey{job.tier.volume, job.end}] = number
	return nil
}

// rollLoop makes rollups when a sweep asks for it. It ends with Close.
func (s *Store) rollLoop() {
	for {
		select {
		case <-s.stop:
			return
		case <-s.rolls.wake:
		}
		if err := s.rollDue(false); err != nil && !errors.Is(err, ErrClosed) {
			s.log.Warn("rollups cannot be made; it is tried again", "err", err)
		}
	}
}

// rollSoon has the rollups made that are due. Those of rows that are about to go are
// made at once.
func (s *Store) rollSoon() {
	if err := s.rollDue(true); err != nil && !errors.Is(err, ErrClosed) {
		s.log.Warn("rollups of rows that go cannot be made", "err", err)
	}
	select {
	case s.rolls.wake <- struct{}{}:
	default: // it is awake
	}
}

// rollDue makes what is due, one window after the other.
func (s *Store) rollDue(going bool) error {
	if !s.free.Load() || !s.rolls.rolling.TryLock() {
		return nil // next time
	}
	defer s.rolls.rolling.Unlock()
	jobs, err := s.rollJobs(false, going)
	if err != nil {
		return err
	}
	for _, job := range jobs {
		pause := s.pacer()
		if going {
			pause = func() error { return nil }
		}
		if err := s.roll(job, pause); err != nil {
			return err
		}
	}
	return nil
}

// pacer leaves half of a processor to others, and ends the work when the store closes.
func (s *Store) pacer() func() error {
	since := time.Now()
	timer := time.NewTimer(0)
	<-timer.C
	return func() error {
		if s.closing.Load() {
			return ErrClosed
		}
		worked := time.Since(since)
		if worked < rollShare {
			return nil
		}
		timer.Reset(min(worked, time.Second))
		select {
		case <-timer.C:
		case <-s.stop:
			return ErrClosed
		}
		since = time.Now()
		return nil
	}
}

// rollJobs finds the windows that are to be made, oldest first. With all, these are all that
// would change; with going, only those with rows that the next retention drops.
func (s *Store) rollJobs(all, going bool) (jobs []rollJob, err error) {
	raw := s.volumes.Files(volume.Raw, -1<<62, 1<<62)
	defer raw.Release()
	if err := s.touch(raw); err != nil {
		return nil, err
	}
	now := model.Millis(s.now().UnixMilli())
	frontier := now - rollPartly
	for _, f := range raw.Files() {
		_, last := f.Range()
		frontier = max(frontier, min(last, now))
	}
	for _, t := range rollTiers() {
		if !s.config.keeps(t.volume) {
			continue
		}
		for end, w := range s.rollWindows(t, raw) {
			d := rollDecision{window: w, tier: t, end: end, now: now, frontier: frontier, retention: model.Millis(s.config.Retention.Milliseconds())}
			if d.due(all, going) {
				jobs = append(jobs, rollJob{t, end, frontier})
			}
		}
	}
	slices.SortFunc(jobs, func(a, b rollJob) int { return int((a.end - b.end) / grain) })
	return jobs, nil
}

// touch looks in which grains new raw volumes have rows, and forgets those that are gone.
func (s *Store) touch(raw *volume.View) error {
	s.rolls.mu.Lock()
	defer s.rolls.mu.Unlock()
	touched := map[uint64][]model.Millis{}
	for _, f := range raw.Files() {
		ends, known := s.rolls.touched[f.Number()]
		if !known {
			in := map[model.Millis]struct{}{}
			err := f.Each(func(e volume.Entry) error {
				for end := ceil(e.First, grain); end-grain < e.Last; end += grain {
					in[end] = struct{}{}
				}
				return nil
			})
			if err != nil {
				return err
			}
			for end := range in {
				ends = append(ends, end)
			}
			slices.Sort(ends)
		}
		touched[f.Number()] = ends
	}
	s.rolls.touched = touched
	return nil
}
