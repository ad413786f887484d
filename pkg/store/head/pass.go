package head

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/journal"
)

// ErrPassing says that another pass is under way.
var ErrPassing = errors.New("another pass is under way")

// Pass is a pass: what was open when it began is detached from what comes after, and goes
// into a volume. It is for one goroutine.
type Pass struct {
	head   *Head
	volume uint64
	from   uint64
	lanes  []*lane
	done   bool
}

// BeginPass detaches what is open, lane by lane, and makes the journal such that
// what comes before the pass is not needed any more once the volume is there: whose
// the records are, what was received, and where the decoders stand is written again. No
// worker waits for longer than its own lanes take. Queries see what is detached until
// Done. After an error nothing is detached.
func (h *Head) BeginPass(volume uint64) (*Pass, error) {
	h.passing.Lock()
	defer h.passing.Unlock()
	if h.pass != nil {
		return nil, ErrPassing
	}
	p := &Pass{head: h, volume: volume, from: h.deps.Journal.Next()}
	h.pass = p
	if err := h.define.settle(); err != nil {
		p.doneLocked(false)
		return nil, fmt.Errorf("begin pass: %w", err)
	}
	for _, w := range h.allWorkers() {
		if err := p.detach(w); err != nil {
			p.doneLocked(false)
			return nil, fmt.Errorf("begin pass: worker %v: %w", w.id, err)
		}
	}
	return p, nil
}

// From is the journal's index at which the pass began: what is before is not needed any
// more after Done(true).
func (p *Pass) From() uint64 { return p.from }

// Volume is the number of the volume.
func (p *Pass) Volume() uint64 { return p.volume }

// detach does what a pass begins with, for a worker.
func (p *Pass) detach(w *worker) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	j := p.head.deps.Journal
	tracks := map[*lane][]*track{}
	for _, s := range []*Session{w.live, w.backfill} {
		if s == nil || !s.noted {
			continue
		}
		s.noted = false
		if refusal := s.introduce(); refusal != nil {
			return refusal
		}
		for _, t := range s.tracks {
			tracks[t.lane] = append(tracks[t.lane], t)
		}
	}
	for _, b := range w.sortedBoots() {
		// Also of a boot of which nothing was received: see replay.coverage.
		if _, err := j.Coverage(w.coverageOf(b)); err != nil {
			return err
		}
	}
	for _, l := range w.sortedLanes() {
		if err := p.detachLane(w, l, tracks[l]); err != nil {
			return err
		}
	}
	return nil
}

// detachLane detaches the open groups of a lane. No row comes meanwhile: the worker's mu is held.
//
// In the journal there are first the bases of the tracks that go on, then the sealed record, then
// the base that is the newest row, if there is one.
func (p *Pass) detachLane(w *worker, l *lane, tracks []*track) error {
	l.mu.Lock()
	n, row := l.newest, []float64(nil)
	if n.isLive() {
		row = l.rowLocked(p.head)
	}
	open := len(l.groups)
	l.mu.Unlock()
	var first *track // has the newest row
	for _, t := range tracks {
		if t == n.follows && t.noted && t.group != nil {
			first = t
		} else if err := t.rebase(); err != nil {
			return err
		}
	}
	if open > 0 || row != nil || n.ended {
		if _, err := p.head.deps.Journal.Sealed(p.volume, l.source.Number(), l.stream); err != nil {
			return err
		}
	}
	if open > 0 {
		l.mu.Lock()
		l.sealing, l.groups = l.groups, nil
		l.mu.Unlock()
		p.lanes = append(p.lanes, l)
	}
	switch {
	case first != nil:
		return first.rebase()
	case row != nil:
		state, err := p.head.stateOf(n.schema, n.at, row)
		if err != nil {
			return err
		}
		return p.keepNewest(w, l, n.boot, n.schema.id, state)
	case n.ended:
		state, err := p.head.ended.state(n.at)
		if err != nil {
			return err
		}
		return p.keepNewest(w, l, n.boot, frame.SchemaID{}, state)
	}
	return nil
}

// keepNewest writes the newest row of a lane, which no decoder holds, as a base of a session
// of its own.
func (p *Pass) keepNewest(w *worker, l *lane, boot model.BootID, id frame.SchemaID, state []byte) error {
	j, number := p.head.deps.Journal, p.head.numbers.Add(1)
	// As a backfill session: it says nothing of what the worker is now.
	_, err := j.Session(number, journal.Session{Worker: w.id, Boot: boot, Source: l.source.Number(), Backfill: true})
	if err != nil {
		return err
	}
	_, err = j.Base(number, l.stream, id, state)
	return err
}

// stateOf is the state of a decoder that holds the row.
func (h *Head) stateOf(s *schema, at model.Millis, row []float64) ([]byte, error) {
	layout, err := s.layout(h.deps.Dictionary)
	if err != nil {
		return nil, err
	}
	payload, _ := frame.NewEncoder(layout, s.id, 1).Append(nil, at, row)
	d := frame.NewDecoder(layout, s.id)
	if err := d.Decode(payload); err != nil {
		return nil, err
	}
	return d.AppendState(nil), nil
}

// rebase begins a new group with where the decoder stands.
func (t *track) rebase() error {
	if t.group == nil {
		return nil // the next delta frame does it
	}
	t.group = nil
	s := t.session
	s.state = t.decoder.AppendState(s.state[:0])
	index, err := s.head.deps.Journal.Base(s.number, t.stream, t.schema.id, s.state)
	if err != nil {
		return err
	}
	t.group = t.pen.begin(t.schema, index, 0, true, 0)
	return nil
}

// sortedBoots are the worker's boots by id. Called with mu held.
func (w *worker) sortedBoots() []*boot {
	all := make([]*boot, 0, len(w.boots))
	for _, b := range w.boots {
		all = append(all, b)
	}
	slices.SortFunc(all, func(a, b *boot) int { return slices.Compare(a.id[:], b.id[:]) })
	return all
}

// Lanes visits the detached lanes, by worker, source and stream. It ends with the first error.
func (p *Pass) Lanes(visit func(lane *SealLane) error) error {
	viewer := p.head.viewers.take()
	defer p.head.viewers.give(viewer)
	for _, l := range p.lanes {
		sl := &SealLane{Source: l.source, Stream: l.stream, head: p.head, viewer: viewer}
		l.mu.Lock()
		for _, g := range l.sealing { // which nobody changes any more
			sl.add(&g.stretch)
		}
		l.mu.Unlock()
		slices.SortStableFunc(sl.open, func(a, b *stretch) int {
			return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.start, b.start))
		})
		if err := visit(sl); err != nil {
			return err
		}
	}
	return nil
}

// Done ends the pass. With published, the volume is there and queries see it: what was detached
// leaves memory. Otherwise it is open again, in front of what came after. Calling it again
// does nothing.
func (p *Pass) Done(published bool) {
	p.head.passing.Lock()
	defer p.head.passing.Unlock()
	p.doneLocked(published)
}

func (p *Pass) doneLocked(published bool) {
	if p.done {
		return
	}
	p.done = true
	for _, l := range p.lanes {
		l.mu.Lock()
		if !published {
			l.groups = append(l.sealing, l.groups...)
		}
		l.sealing = nil
		l.mu.Unlock()
	}
	p.head.pass = nil
	p.head.viewers.close() // they may hold what is to be dropped
}
