package store

import (
	"fmt"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// learn makes the names of a volume's series known that was made by another store, and
// makes that last. Queries find its rows by them once it is in the set.
func (s *Store) learn(file *volume.File) error {
	l := learning{store: s, sources: map[volume.Key]*schemas.Source{}}
	err := file.Definitions(volume.Visitor{Part: l.part, Schema: l.schema, Source: l.source, Span: l.span})
	if err == nil {
		err = s.schemaLog.sync()
	}
	if err != nil {
		return fmt.Errorf("names of series of %q: %w", file.Path(), err)
	}
	return nil
}

// learning takes the definitions of one volume.
type learning struct {
	store   *Store
	sources map[volume.Key]*schemas.Source // of stream 0
}

// keep writes down what is new.
func (l *learning) keep(record []byte, err error) error {
	if err != nil || len(record) == 0 {
		return err
	}
	return l.store.schemaLog.Append(record)
}

func (l *learning) part(encoded []byte) error {
	record, _, err := l.store.dictionary.AddPart(nil, encoded)
	return l.keep(record, err)
}

func (l *learning) schema(encoded []byte) error {
	record, _, err := l.store.dictionary.AddSchema(nil, encoded)
	return l.keep(record, err)
}

func (l *learning) source(worker model.WorkerID, hostLabels []labels.Label) error {
	record, source, err := l.store.dictionary.AddSource(nil, worker, labels.New(hostLabels...))
	if err == nil {
		l.sources[volume.KeyOf(worker, hostLabels, 0)] = source
	}
	return l.keep(record, err)
}

func (l *learning) span(span volume.Span) error {
	of := span.Key
	of.Stream = 0
	source := l.sources[of]
	if source == nil {
		return fmt.Errorf("stream %d of worker %v: its labels are not in the volume", span.Stream, span.Worker)
	}
	record, err := l.store.dictionary.AddSpan(nil, source, span.Stream, span.Schema, span.From, span.To)
	if err := l.keep(record, err); err != nil {
		return err
	}
	l.store.head.Elsewhere(source, span.Stream, span.To)
	return nil
}
