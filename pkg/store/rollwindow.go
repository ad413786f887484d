package store

import (
	"bytes"
	"errors"
	"maps"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/rollup"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// rolledSpan and rolledTime are when a lane had a schema.
type rolledSpan struct {
	key    volume.Key
	schema frame.SchemaID
}

type rolledTime struct{ from, to model.Millis }

// rollWindow makes the volume of a window, and replaces the one that is there. made is false
// when there is nothing to be in it. number is that of the volume: all raw volumes
// with lower numbers are in it. pause is called between lanes.
//
// The volume is on disk before its predecessor goes; until then queries know by the number
// which one counts, and Open removes the other.
func (s *Store) rollWindow(t rollTier, end, frontier model.Millis, pause func() error) (number uint64, made bool, err error) {
	r, err := s.beginRoll(t, end, frontier)
	if err != nil {
		return 0, false, err
	}
	number = r.writer.Number()
	defer r.release()
	if err := r.run(pause); err != nil {
		return 0, false, errors.Join(err, r.writer.Abort())
	}
	if len(r.included) == 0 {
		return number, false, r.writer.Abort()
	}
	file, err := r.writer.Commit()
	if err != nil {
		return 0, false, err
	}
	s.passing.Lock()
	defer s.passing.Unlock()
	s.volumes.Add(file)
	s.published.Add(1)
	return number, true, s.dropReplaced()
}

// beginRoll holds what the volume is made of. No volume with a lower number is published
// afterwards: passes hold passing, imports hold rolling.
func (s *Store) beginRoll(t rollTier, end, frontier model.Millis) (*roller, error) {
	s.passing.Lock()
	defer s.passing.Unlock()
	if s.closing.Load() {
		return nil, ErrClosed
	}
	w, err := s.volumes.Create(t.volume)
	if err != nil {
		return nil, err
	}
	r := &roller{store: s, tier: t, from: end - t.window, end: end, until: min(end, ceil(frontier+1, t.width())-t.width()), writer: w,
		builder: rollup.NewBuilder(t.rollup), merger: rollup.NewMerger(),
		parts: map[frame.PartID]rolledPart{}, lanes: map[volume.Key]struct{}{}, included: map[volume.Key]struct{}{}, spans: map[rolledSpan]rolledTime{}}
	r.raw = s.volumes.Files(volume.Raw, r.from+1, r.until)
	rolled := s.rolled(t)
	defer rolled.Release()
	if old := rolled.newest()[end]; old != nil && old.Acquire() {
		r.old = old
		if r.known, err = readSources(old); err != nil {
			r.release()
			return nil, errors.Join(err, w.Abort())
		}
		for number, t := range r.known {
			if !s.volumes.Has(number) {
				r.goneTo = max(r.goneTo, t.to)
			}
		}
	}
	return r, nil
}

func (r *roller) release() {
	r.raw.Release()
	if r.old != nil {
		r.old.Release()
	}
}

// run fills the volume.
func (r *roller) run(pause func() error) error {
	if err := r.findLanes(); err != nil {
		return err
	}
	for _, key := range slices.SortedFunc(maps.Keys(r.lanes), volume.Key.Compare) {
		if err := r.lane(key); err != nil {
			return err
		}
		if err := pause(); err != nil {
			return err
		}
	}
	if len(r.included) == 0 {
		return nil
	}
	if err := r.nameSources(); err != nil {
		return err
	}
	return r.define()
}

// nameSources says of which raw volumes the rollup has the rows.
func (r *roller) nameSources() error {
	has := map[uint64]rolledTime{}
	for number, t := range r.known {
		has[number] = t
	}
	for _, f := range r.raw.Files() {
		first, last := f.Range()
		has[f.Number()] = rolledTime{max(first, r.from+1), min(last, r.until)}
	}
	for _, number := range slices.Sorted(maps.Keys(has)) {
		t := has[number]
		if err := r.writer.Add(volume.Entry{Key: volume.Key{Labels: number}, First: t.from, Last: t.to, Flags: flagSource}, nil); err != nil {
			return err
		}
	}
	return nil
}

// readSources reads what nameSources has written.
func readSources(f *volume.File) (map[uint64]rolledTime, error) {
	has := map[uint64]rolledTime{}
	done := errors.New("done")
	err := f.Each(func(e volume.Entry) error {
		if e.Flags&flagSource == 0 || e.Worker != (model.WorkerID{}) {
			return done // they come first
		}
		has[e.Labels] = rolledTime{e.First, e.Last}
		return nil
	})
	if errors.Is(err, done) {
		err = nil
	}
	return has, err
}

// findLanes finds what lanes have rows in the window.
func (r *roller) findLanes() error {
	r.rows.damaged = func(error) {}
	for _, f := range r.files() {
		err := f.Each(func(e volume.Entry) error {
			if e.First <= r.end && e.Last > r.from && e.Flags&flagSource == 0 {
				r.lanes[e.Key] = struct{}{}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// files are all that the volume is made of.
func (r *roller) files() []*volume.File {
	files := slices.Clip(r.raw.Files())
	if r.old != nil {
		files = append(files, r.old)
	}
	return files
}

// define puts into the volume what its blocks need. What cannot be read is missing there; the
// dictionary has it.
func (r *roller) define() error {
	schemas, parts := map[frame.SchemaID]struct{}{}, map[frame.PartID]struct{}{}
	of := func(v volume.Visitor) error {
		for _, f := range r.files() {
			var damage *volume.Damage
			if err := f.Definitions(v); err != nil && !errors.As(err, &damage) {
				return err
			}
		}
		return nil
	}
	err := of(volume.Visitor{Span: func(s volume.Span) error {
		if _, in := r.included[s.Key]; !in || s.From > r.end || s.To <= r.from {
			return nil
		}
		schemas[s.Schema] = struct{}{}
		key, t := rolledSpan{s.Key, s.Schema}, rolledTime{max(s.From, r.from+1), min(s.To, r.end)}
		if has, known := r.spans[key]; known {
			t = rolledTime{min(t.from, has.from), max(t.to, has.to)}
		}
		r.spans[key] = t
		return nil
	}})
	if err != nil {
		return err
	}
	err = of(volume.Visitor{
		Schema: func(encoded []byte) error {
			if _, in := schemas[frame.SchemaID(frame.PartIDOf(encoded))]; !in {
				return nil
			}
			schema, err := frame.ParseSchema(encoded)
			if err != nil {
				return nil // what is not read is missing
			}
			for _, id := range schema.Parts {
				parts[id] = struct{}{}
			}
			return r.writer.Schema(bytes.Clone(encoded))
		},
		Source: func(worker model.WorkerID, hostLabels []labels.Label) error {
			of := volume.KeyOf(worker, hostLabels, 0)
			for key := range r.included {
				if key.Worker == of.Worker && key.Labels == of.Labels {
					return r.writer.Source(worker, hostLabels)
				}
			}
			return nil
		},
	})
	if err != nil {
		return err
	}
	err = of(volume.Visitor{Part: func(encoded []byte) error {
		if _, in := parts[frame.PartIDOf(encoded)]; !in {
			return nil
		}
		return r.writer.Part(bytes.Clone(encoded))
	}})
	if err != nil {
		return err
	}
	for key, t := range r.spans {
		if err := r.writer.Span(key.key, key.schema, t.from, t.to); err != nil {
			return err
		}
	}
	return nil
}
