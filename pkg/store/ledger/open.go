package ledger

import (
	"cmp"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Open opens or makes the ledger in a folder, which has no other use. It reports
// what is damaged; entries that were there are missing, or are as they were
// before. The error wraps durable.ErrLocked, durable.ErrNewerFormat or
// durable.ErrDisk, or says what is wrong with cfg.
func Open(dir string, cfg Config, deps Deps) (*Ledger, []*durable.Damage, error) {
	if err := cfg.Validate(); err != nil {
		return nil, nil, fmt.Errorf("open gap ledger %q: %w", dir, err)
	}
	deps = deps.withDefaults()
	l := &Ledger{dir: dir, cfg: cfg, deps: deps, log: deps.Log, workers: map[model.WorkerID]*worker{}, next: 1}
	l.stats.Noted = causes()
	disk, found, err := durable.Open(dir, l.options())
	if err != nil {
		return nil, nil, fmt.Errorf("open gap ledger %q: %w", dir, err)
	}
	l.disk = disk
	load := loading{ledger: l, entries: map[uint64]*entry{}, found: found}
	if err := load.run(); err != nil {
		disk.Close()
		return nil, nil, fmt.Errorf("open gap ledger %q: %w", dir, err)
	}
	l.stats.Damaged = len(load.found)
	return l, load.found, nil
}

func (l *Ledger) options() durable.Options {
	return durable.Options{SegmentBytes: l.cfg.segmentBytes(), FS: l.deps.FS, Now: l.deps.Now, Random: l.deps.Random}
}

// loading makes the state from the log.
type loading struct {
	ledger  *Ledger
	entries map[uint64]*entry // by number, also of workers whose sums they are in
	found   []*durable.Damage
}

func (load *loading) run() error {
	r := load.ledger.disk.Read(0)
	defer r.Close()
	for {
		for r.Next() {
			parsed, err := parseRecord(r.Record().Data)
			switch {
			case errors.Is(err, durable.ErrNewerFormat):
				return fmt.Errorf("record at %s: %w", r.Record().At, err)
			case err != nil:
				load.bad(r.Record(), err.Error())
			case !load.apply(parsed):
				load.bad(r.Record(), "the record does not fit those before it")
			}
		}
		var damage *durable.Damage
		if !errors.As(r.Err(), &damage) {
			break
		}
		known := func(d *durable.Damage) bool { return d.File == damage.File && d.Offset == damage.Offset }
		if !slices.ContainsFunc(load.found, known) {
			load.found = append(load.found, damage)
		}
		r.Resume()
	}
	if err := r.Err(); err != nil {
		return err
	}
	load.finish()
	return nil
}

// bad reports a record that is whole, and yet not what a ledger writes.
func (load *loading) bad(r durable.Record, why string) {
	name, _, _ := strings.Cut(r.At.String(), ":")
	load.found = append(load.found, &durable.Damage{File: filepath.Join(load.ledger.dir, name), Offset: r.At.Offset,
		Length: int64(len(r.Data)), Why: why, Lost: durable.Range{First: r.Index, End: r.Index + 1}})
}

// apply takes a record over. It reports false if that cannot be.
func (load *loading) apply(r *record) bool {
	l := load.ledger
	l.next = max(l.next, r.id+1)
	w := l.workerLocked(r.worker)
	if r.kind == kindEarlier {
		w.through, w.earlier = r.id, r.sums
		return true
	}
	e := load.entries[r.id]
	if e != nil && (e.boot.worker != w || e.boot.id != r.boot || e.refused != (r.kind != kindReport)) {
		return false
	}
	if e != nil && r.kind == kindRefusals {
		e.noted = max(e.noted, r.noted)
		return e.take(&share{seqs: r.seqs, from: r.gap.From, to: r.gap.To, frames: r.gap.Frames, samples: r.gap.Samples})
	}
	if e == nil {
		e = &entry{}
		load.entries[r.id] = e
	}
	*e = entry{id: r.id, boot: w.of(r.boot), gap: r.gap, noted: r.noted, refused: r.kind != kindReport, seqs: r.seqs}
	return true
}

// finish puts the entries in their places, and within the bounds.
func (load *loading) finish() {
	l := load.ledger
	for _, e := range load.entries {
		if w := e.boot.worker; e.id > w.through {
			w.entries = append(w.entries, e)
		}
	}
	for _, w := range l.workers {
		entries := w.entries
		w.entries, w.boots = nil, map[model.BootID]*boot{}
		slices.SortFunc(entries, func(a, b *entry) int { return cmp.Compare(a.id, b.id) })
		for _, e := range entries {
			e.boot = w.of(e.boot.id)
			w.enter(e)
		}
		w.bytes += overhead * int64(len(w.earlier))
		l.bytes += w.bytes
		l.count += len(w.entries)
	}
	l.expireLocked()
	for _, w := range l.workers {
		l.boundLocked(w)
	}
}

// causes makes the counters of the causes that this release knows.
func causes() map[event.Cause]Count {
	counts := map[event.Cause]Count{}
	for _, c := range event.Causes() {
		counts[c] = Count{}
	}
	return counts
}
