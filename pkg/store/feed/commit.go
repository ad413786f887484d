package feed

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/value"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/head"
)

// sample is a sample of a batch.
type sample struct {
	series *series
	t      int64
	v      float64
}

// store writes the samples of a batch.
func (f *Feed) store(samples []sample) error {
	if len(samples) == 0 {
		return nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tidyNowAndThen()
	err := f.write(samples)
	if err != nil && f.session == nil && again(err) {
		err = f.write(samples)
	}
	if err != nil {
		f.figures.failed.Add(1)
		return fmt.Errorf("commit of %d samples: %w", len(samples), err)
	}
	f.figures.commits.Add(1)
	if cap(samples) <= maxSpare {
		f.spare = samples[:0]
	}
	return nil
}

// maxSpare is how many samples a batch may have whose memory the next one gets.
const maxSpare = 1 << 16

// again says that a new session may take what this one did not: something that it knew was
// forgotten.
func again(err error) bool {
	var refusal *head.Refusal
	if !errors.As(err, &refusal) {
		return false
	}
	switch refusal.Cause {
	case head.CauseUnknownPart, head.CauseUnknownSchema, head.CauseSuperseded:
		return true
	}
	return false
}

func (f *Feed) write(samples []sample) error {
	if err := f.ready(); err != nil {
		return err
	}
	f.sort(samples)
	if err := f.deliver(); err != nil {
		f.shrink()
		for _, st := range f.touched {
			st.epoch = 0 // where its frames stand is not sure
		}
		if refusal := (*head.Refusal)(nil); !errors.As(err, &refusal) || !refusal.Skipped {
			err = errors.Join(err, f.hangUp())
		}
		return err
	}
	return nil
}

// sort gives the samples to streams; series without one are placed.
func (f *Feed) sort(samples []sample) {
	f.commit++
	f.touched, f.grown, f.fresh, f.late = f.touched[:0], f.grown[:0], f.fresh[:0], f.late[:0]
	for _, one := range samples {
		if one.series.stream == nil {
			one.series = f.adopt(one.series, one.v)
			if one.series.stream == nil {
				f.late = append(f.late, one)
				continue
			}
		}
		f.put(one)
	}
	f.place()
	for _, one := range f.late {
		f.put(one)
	}
}

// put gives a sample to its stream.
func (f *Feed) put(one sample) {
	st := one.series.stream
	if st.commit != f.commit {
		st.commit, st.cells = f.commit, st.cells[:0]
		f.touched = append(f.touched, st)
	}
	st.cells = append(st.cells, one)
}

// deliver writes what the streams were given. Those that have grown come first: it is they
// that may be refused.
func (f *Feed) deliver() error {
	for _, g := range f.grown {
		if err := f.declare(g.stream); err != nil {
			return err
		}
	}
	for _, g := range f.grown {
		if err := f.frames(g.stream); err != nil {
			return err
		}
	}
	for _, st := range f.touched {
		if st.written == f.commit {
			continue
		}
		if err := f.declare(st); err != nil {
			return err
		}
		if err := f.frames(st); err != nil {
			return err
		}
	}
	return nil
}

// frames writes the frames of a stream, one for each time.
func (f *Feed) frames(st *stream) error {
	byTime := func(a, b sample) int { return cmp.Compare(a.t, b.t) }
	if !slices.IsSortedFunc(st.cells, byTime) {
		slices.SortStableFunc(st.cells, byTime)
	}
	for from := 0; from < len(st.cells); {
		t, to := st.cells[from].t, from+1
		for to < len(st.cells) && st.cells[to].t == t {
			to++
		}
		if n := st.fill(t, st.cells[from:to]); n > 0 {
			f.payload, _ = st.encoder.Append(f.payload[:0], model.Millis(t), st.row)
			if err := f.send(frame.KindFrame, st.id, f.payload); err != nil {
				return err
			}
			f.figures.frames.Add(1)
			f.figures.samples.Add(uint64(n))
		}
		f.note(st.cells[from:to])
		from = to
	}
	st.written = f.commit
	return nil
}

// fill makes the row of a time: what it has already, and the cells. It returns how many
// of these are new.
func (st *stream) fill(t int64, cells []sample) (n int) {
	if !st.open || t != st.at {
		st.at, st.open = t, true
		for i := range st.row {
			st.row[i] = model.Absent()
		}
	}
	for _, one := range cells {
		s := one.series
		if s.some && s.last == t {
			continue
		}
		into := &st.row[s.column]
		if !model.IsAbsent(*into) {
			continue
		}
		n++
		if *into = one.v; value.IsStaleNaN(one.v) {
			*into = model.Ended()
		}
	}
	return n
}

// note remembers the newest samples.
func (f *Feed) note(cells []sample) {
	now := f.options.Now().Unix()
	for _, one := range cells {
		s := one.series
		s.used = now
		if !s.some || one.t > s.last {
			s.some, s.last, s.bits = true, one.t, math.Float64bits(one.v)
		}
	}
}
