package store

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// schemaLog is the dictionary's memory on disk: the records of everything that
// was added to it, written anew when most of them are of things forgotten.
// Safe for concurrent use.
type schemaLog struct {
	log        *durable.Log
	dictionary *schemas.Dictionary
	base       atomic.Int64 // bytes when it was last written anew, or opened
	dropping   sync.Mutex   // held by who drops records, or must not see them go
}

const (
	schemaSegment = 4 * model.MiB
	// compactAbove is from how many bytes on the log is written anew when it has
	// grown to twice its last size.
	compactAbove = 4 << 20
)

// openSchemaLog reads the log into an empty dictionary. Records that need others
// which are not there are passed over and counted: what they name is declared again
// by its worker, or is in the volumes.
func openSchemaLog(dir string, fs durable.FS, dictionary *schemas.Dictionary, log *slog.Logger) (*schemaLog, []*durable.Damage, error) {
	l, damage, err := durable.Open(dir, durable.Options{SegmentBytes: schemaSegment, FS: fs})
	if err != nil {
		return nil, nil, fmt.Errorf("store: names of series: %w", err)
	}
	s := &schemaLog{log: l, dictionary: dictionary}
	found, err := s.load(log)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("store: names of series: %w", err), l.Close())
	}
	s.base.Store(l.Size())
	return s, append(damage, found...), nil
}

// load gives all records to the dictionary. Sessions append side by side, so a
// record may be in front of one that it needs: those are tried again at the end.
func (s *schemaLog) load(log *slog.Logger) (damage []*durable.Damage, err error) {
	r := s.log.Read(0)
	defer r.Close()
	type early struct {
		data   []byte
		record durable.Record
	}
	var waiting []early
	for {
		for r.Next() {
			record := r.Record()
			if err := s.dictionary.Load(record.Data); err != nil {
				if errors.Is(err, schemas.ErrVersion) {
					return damage, err
				}
				waiting = append(waiting, early{append([]byte(nil), record.Data...), record})
			}
		}
		if r.Err() == nil {
			break
		}
		var bad *durable.Damage
		if !errors.As(r.Err(), &bad) {
			return damage, r.Err()
		}
		damage = append(damage, bad)
		r.Resume()
	}
	for progress := true; progress && len(waiting) > 0; {
		left := waiting[:0]
		for _, one := range waiting {
			if s.dictionary.Load(one.data) != nil {
				left = append(left, one)
			}
		}
		progress, waiting = len(left) < len(waiting), left
	}
	for _, one := range waiting {
		err := s.dictionary.Load(one.data)
		damage = append(damage, s.log.Damaged(one.record, fmt.Sprint(err)))
	}
	if len(waiting) > 0 {
		log.Warn("names of series are incomplete", "records", len(waiting))
	}
	return damage, nil
}

// Append implements head.SchemaLog.
func (s *schemaLog) Append(record []byte) error {
	_, err := s.log.Append(record)
	return err
}

// sync makes what was appended last.
func (s *schemaLog) sync() error { return s.log.Sync() }

// bounds writes down how far spans reach by now, and makes it last. The journal's
// records that say so may go afterwards.
func (s *schemaLog) bounds() error {
	if err := s.dictionary.Bounds(s.Append); err != nil {
		return err
	}
	return s.sync()
}

// compact writes the log anew when it has grown much.
func (s *schemaLog) compact() error {
	if size := s.log.Size(); size < compactAbove || size < 2*s.base.Load() {
		return nil
	}
	return s.anew()
}

// anew writes the log anew.
func (s *schemaLog) anew() error {
	s.dropping.Lock()
	defer s.dropping.Unlock()
	// First a new segment: what is in those before was in the dictionary before.
	if err := s.log.Rotate(); err != nil {
		return err
	}
	through := s.log.Next() - 1
	if err := s.dictionary.Snapshot(s.Append); err != nil {
		return err
	}
	if err := s.sync(); err != nil {
		return err
	}
	if err := s.log.DropThrough(through); err != nil {
		return err
	}
	s.base.Store(s.log.Size())
	return nil
}

// snapshot makes a log of its own in another folder.
func (s *schemaLog) snapshot(dir string) error {
	s.dropping.Lock()
	defer s.dropping.Unlock()
	if err := s.bounds(); err != nil {
		return fmt.Errorf("names of series: %w", err)
	}
	if err := s.log.Snapshot(dir); err != nil {
		return fmt.Errorf("names of series: %w", err)
	}
	return nil
}

func (s *schemaLog) close() error { return s.log.Close() }
