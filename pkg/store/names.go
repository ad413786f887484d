package store

import (
	"context"
	"errors"
	"log/slog"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/journal"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// completeNames makes the names of series known again that are in volumes and that the
// log of names has lost. It is called before the journal is replayed. What is in the
// journal only, and was new since the last pass, cannot be had back: its rows do not
// count as received. What cannot be written is in memory, and read again at the next start.
//
// Nearly always there is nothing to do: the log is whole, and has what the newest volume has.
// That is asked, because the end of a log may be missing without a trace.
func (s *Store) completeNames(damage []*durable.Damage) {
	held := s.volumes.All()
	defer held.Release()
	files := held.Files()
	stats := s.schemaLog.log.Stats()
	empty := stats.Next == stats.Oldest
	if len(damage) == 0 && !empty && s.knowsNewest(files) {
		return
	}
	r := rebuilding{store: s, hosts: map[volume.Key]host{}, sources: map[volume.Key]*schemas.Source{}}
	for _, file := range files {
		r.read(file, volume.Visitor{Source: r.host})
	}
	r.place()
	for _, file := range files {
		r.read(file, volume.Visitor{Part: r.part, Schema: r.schema, Span: r.span})
	}
	hit := slices.ContainsFunc(damage, func(d *durable.Damage) bool { return !d.Torn })
	if r.added == 0 && r.unplaced == 0 && !hit {
		return
	}
	level := slog.LevelWarn
	if r.named == 0 && r.unplaced == 0 && !hit {
		level = slog.LevelInfo // a pass was interrupted
	}
	s.log.Log(context.Background(), level, "names of series were missing; those that volumes have are known again",
		"volumes", len(files), "names", r.named, "spans", r.added-r.named, "hosts_unknown", r.unplaced, "failed", r.failed)
	if r.err == nil {
		r.err = s.schemaLog.anew() // so that the damage is gone
	}
	if r.err != nil {
		s.log.Warn("names of series cannot be written, they are read from volumes again at the next start", "err", r.err)
	}
}

// knowsNewest says whether everything is known that the newest volume of raw rows names.
func (s *Store) knowsNewest(files []*volume.File) bool {
	for _, file := range slices.Backward(files) {
		if file.Tier() == volume.Raw {
			return s.knows(file)
		}
	}
	return true
}

// errUnknown ends a visit.
var errUnknown = errors.New("not known")

// knows says whether everything is known that a volume names. Its damage does not count.
func (s *Store) knows(file *volume.File) bool {
	d := s.dictionary
	has := func(known bool) error {
		if !known {
			return errUnknown
		}
		return nil
	}
	sources := map[volume.Key]*schemas.Source{}
	err := file.Definitions(volume.Visitor{
		Part:   func(encoded []byte) error { return has(d.Part(frame.PartIDOf(encoded)) != nil) },
		Schema: func(encoded []byte) error { return has(d.Schema(frame.SchemaID(frame.PartIDOf(encoded))) != nil) },
		Source: func(worker model.WorkerID, hostLabels []labels.Label) error {
			source := d.FindSource(worker, labels.New(hostLabels...))
			sources[volume.KeyOf(worker, hostLabels, 0)] = source
			return has(source != nil)
		},
		Span: func(span volume.Span) error {
			source := sources[hostOf(span.Key)]
			if source == nil {
				return nil // damaged
			}
			until, known := d.Until(source, span.Stream)
			return has(known && until >= span.To)
		},
	})
	return !errors.Is(err, errUnknown)
}

// hostOf is the key of a lane's host.
func hostOf(lane volume.Key) volume.Key {
	lane.Stream = 0
	return lane
}

// host is a worker under its labels.
type host struct {
	worker model.WorkerID
	labels labels.Labels
}

// rebuilding is one run of completeNames.
type rebuilding struct {
	store   *Store
	hosts   map[volume.Key]host // of stream 0
	sources map[volume.Key]*schemas.Source

	added    int   // records
	named    int   // of them of hosts, parts and schemas
	unplaced int   // sources that the journal names and nobody knows
	failed   int   // definitions that could not be taken
	err      error // of the log
}

// read visits definitions; those that are damaged are reported.
func (r *rebuilding) read(file *volume.File, v volume.Visitor) {
	if err := file.Definitions(v); err != nil {
		r.store.figures.damage.Add(1)
		r.store.log.Error("names of series are damaged in a volume", "err", err)
	}
}

// keep writes down what is new. Nothing here ends the run.
func (r *rebuilding) keep(record []byte, err error) error {
	if err != nil {
		r.failed++
		return nil
	}
	if len(record) == 0 {
		return nil
	}
	r.added++
	if err := r.store.schemaLog.Append(record); err != nil {
		r.err = err
	}
	return nil
}

// name is keep of a host, a part or a schema.
func (r *rebuilding) name(record []byte, err error) error {
	if err == nil && len(record) > 0 {
		r.named++
	}
	return r.keep(record, err)
}

func (r *rebuilding) host(worker model.WorkerID, hostLabels []labels.Label) error {
	r.hosts[volume.KeyOf(worker, hostLabels, 0)] = host{worker, labels.New(hostLabels...)}
	return nil
}

// place adds the hosts. The journal calls them by the numbers that they had: where
// a worker has one that is not known, and volumes know it by one set of labels that has no
// other number, the two belong together. No other number in the journal is given out again.
func (r *rebuilding) place() {
	d := r.store.dictionary
	unknown := r.unknown()
	news := map[model.WorkerID]int{}
	for _, h := range r.hosts {
		if d.FindSource(h.worker, h.labels) == nil {
			news[h.worker]++
		}
	}
	for key, h := range r.hosts {
		number := uint32(0)
		if numbers := unknown[h.worker]; len(numbers) == 1 && news[h.worker] == 1 && d.FindSource(h.worker, h.labels) == nil {
			number = numbers[0]
			delete(unknown, h.worker)
		}
		record, source, err := d.AddSourceAs(nil, number, h.worker, h.labels)
		if err == nil {
			r.sources[key] = source
		}
		_ = r.name(record, err)
	}
	for _, numbers := range unknown {
		r.unplaced += len(numbers)
	}
}

// unknown are the numbers of sources in the journal that are not known, by worker. They
// are reserved.
func (r *rebuilding) unknown() map[model.WorkerID][]uint32 {
	found := map[model.WorkerID][]uint32{}
	// What the journal has otherwise, and what is damaged of it, its replay says.
	_ = r.store.journal.Replay(func(_ uint64, e journal.Entry) error {
		if e.Source == 0 || r.store.dictionary.Source(e.Source) != nil {
			return nil
		}
		r.store.dictionary.Reserve(e.Source)
		if e.Kind == journal.KindSession && !slices.Contains(found[e.Worker], e.Source) {
			found[e.Worker] = append(found[e.Worker], e.Source)
		}
		return nil
	}, func(*durable.Damage) {})
	return found
}

func (r *rebuilding) part(encoded []byte) error {
	record, _, err := r.store.dictionary.AddPart(nil, encoded)
	return r.name(record, err)
}

func (r *rebuilding) schema(encoded []byte) error {
	record, _, err := r.store.dictionary.AddSchema(nil, encoded)
	return r.name(record, err)
}

func (r *rebuilding) span(span volume.Span) error {
	source := r.sources[hostOf(span.Key)]
	if source == nil {
		r.failed++
		return nil
	}
	return r.keep(r.store.dictionary.AddSpan(nil, source, span.Stream, span.Schema, span.From, span.To))
}
