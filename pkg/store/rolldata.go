package store

import (
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/query"
	"github.com/cloudless-fleet/cloudless/pkg/store/rollup"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

var _ query.Rollups = (*view)(nil)

// tierViews are the rollups that a query reads.
type tierViews struct {
	held   []*volume.View
	newest [volume.Tiers]*volume.View
	seen   uint64 // Store.published when newest were taken
	taken  bool
}

// rollups returns a view of the rollups of a tier that were published before the call.
func (v *view) rollups(t rollTier) *volume.View {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now := v.store.published.Load(); !v.tiers.taken || now != v.tiers.seen {
		v.tiers.seen, v.tiers.taken = now, true
		for _, t := range rollTiers() {
			one := v.store.volumes.Files(t.volume, v.mint, min(v.maxt, schemas.MaxTime-t.width())+t.width())
			v.tiers.held = append(v.tiers.held, one)
			v.tiers.newest[t.volume] = one
		}
	}
	return v.tiers.newest[t.volume]
}

// Rollups implements query.Rollups.
func (v *view) Rollups(dst []query.Rollup, source *schemas.Source, stream model.StreamID, tier rollup.Tier, from, to model.Millis) ([]query.Rollup, error) {
	t := rollTierOf(tier)
	files := v.rollups(t)
	if len(files.Files()) == 0 {
		return dst, nil
	}
	found, err := files.Find(nil, volume.KeyOf(source.Worker(), source.Labels(), stream), from, to)
	if err != nil {
		return dst, err
	}
	found = counting(found, t)
	// All blocks of a volume tell together of what time it is.
	for _, at := range found {
		dst = append(dst, query.Rollup{Blocks: blockAt{at}, First: at.First, Last: at.Last,
			Volume: at.File.Number() << 32, Lost: at.Flags&flagLost != 0})
	}
	return dst, nil
}

// counting leaves out what was replaced.
func counting(found []volume.Located, t rollTier) []volume.Located {
	newest := map[model.Millis]uint64{}
	for _, at := range found {
		if end, ok := t.windowOf(at.File); ok {
			newest[end] = max(newest[end], at.File.Number())
		}
	}
	return slices.DeleteFunc(found, func(at volume.Located) bool {
		end, ok := t.windowOf(at.File)
		return !ok || newest[end] != at.File.Number()
	})
}

// Gone implements query.Rollups.
func (v *view) Gone() model.Millis {
	for _, t := range rollTiers() {
		if len(v.rollups(t).Files()) > 0 {
			return v.store.rolls.goneTo(v.store)
		}
	}
	return schemas.MinTime
}

// goneTo is the last time of raw volumes of which rollups were made and that are gone. Those
// that end first go first, so of later times all rows are there.
func (r *rolls) goneTo(s *Store) model.Millis {
	now := s.published.Load()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.goneSeen && r.goneAt == now {
		return r.gone
	}
	r.gone, r.goneSeen, r.goneAt = schemas.MinTime, true, now
	for _, t := range rollTiers() {
		held := s.rolled(t)
		for _, f := range held.newest() {
			made, err := readSources(f)
			if err != nil {
				continue // it was reported, and what is left of it is used
			}
			for number, t := range made {
				if !s.volumes.Has(number) {
					r.gone = max(r.gone, t.to)
				}
			}
		}
		held.Release()
	}
	return r.gone
}

// release lets the rollups go. Called with mu held.
func (t *tierViews) release() {
	for _, one := range t.held {
		one.Release()
	}
	*t = tierViews{}
}
