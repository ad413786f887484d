package store

import (
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// rollWindowState is what there is of a window.
type rollWindowState struct {
	number  uint64 // of the rollup, or as of which there was nothing to keep; 0: never made
	last    model.Millis
	created time.Time
	// fresh are the raw volumes that are not in it.
	fresh []*volume.File
}

// rollWindows are the windows of a tier in which raw volumes have rows, by their ends.
func (s *Store) rollWindows(t rollTier, raw *volume.View) map[model.Millis]*rollWindowState {
	rolled := s.rolled(t)
	defer rolled.Release()
	newest := rolled.newest()
	s.rolls.mu.Lock()
	defer s.rolls.mu.Unlock()
	windows := map[model.Millis]*rollWindowState{}
	for _, f := range raw.Files() {
		for _, end := range s.rolls.touched[f.Number()] {
			end = t.windowEnd(end)
			w := windows[end]
			if w == nil {
				w = &rollWindowState{}
				if file := newest[end]; file != nil {
					_, w.last = file.Range()
					w.number, w.created = file.Number(), file.Info().Created
				}
				w.number = max(w.number, s.rolls.tried[rollWindowKey{t.volume, end}])
				windows[end] = w
			}
			if n := len(w.fresh); f.Number() > w.number && (n == 0 || w.fresh[n-1] != f) {
				w.fresh = append(w.fresh, f)
			}
		}
	}
	return windows
}

// rollDecision judges whether a window is to be made.
type rollDecision struct {
	window        *rollWindowState
	tier          rollTier
	end           model.Millis
	now, frontier model.Millis // frontier: of the newest rows
	retention     model.Millis
}

func (d rollDecision) due(all, going bool) bool {
	w := d.window
	for _, f := range w.fresh {
		_, last := f.Range()
		if last < d.now-d.retention || !going && last < d.now-d.retention+rollMargin {
			return true
		}
	}
	reach := min(d.end, d.frontier) // buckets up to there can be made
	switch {
	case going:
		return false
	case all:
		return len(w.fresh) > 0 || w.number > 0 && w.last > 0 && reach-w.last >= d.tier.width()
	}
	created := model.Millis(w.created.UnixMilli())
	complete := d.frontier >= d.end+rollMargin
	if len(w.fresh) == 0 {
		// It may lack its last bucket, of which more rows were to come when it was made.
		short := w.last > 0 && reach-w.last >= d.tier.width() && created < d.end+rollPartly
		return complete && short && d.now-created >= model.Millis(rollLate.Milliseconds())
	}
	first, _ := w.fresh[0].Range() // that of most lanes, if it is the first
	partly := d.tier.volume == volume.Hour && reach-max(w.last, first, d.end-d.tier.window) >= rollPartly
	if w.number == 0 {
		return complete || partly
	}
	return d.now-created >= model.Millis(rollLate.Milliseconds()) && (complete || partly)
}
