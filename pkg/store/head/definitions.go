package head

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// definitions changes the dictionary of schemas and its log together, in one order: a
// record in the log never comes before what it needs.
type definitions struct {
	dictionary *schemas.Dictionary
	log        SchemaLog

	mu   sync.Mutex // held while the log is written
	buf  []byte
	owed [][]byte // records that the dictionary knows and the log did not take

	behind atomic.Bool // there is something owed: nothing may go to the journal
}

// errSchemaLog marks an error of the log.
var errSchemaLog = errors.New("log of schemas")

// change has do change the dictionary, and logs the record that it appends.
func (d *definitions) change(do func(record []byte) ([]byte, error)) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.settleLocked(); err != nil {
		return err
	}
	record, err := do(d.buf[:0])
	if err != nil || len(record) == 0 {
		return err
	}
	if cap(record) <= frame.MaxRecord {
		d.buf = record
	}
	if err := d.log.Append(record); err != nil {
		d.owed = append(d.owed, slices.Clone(record))
		d.behind.Store(true)
		return fmt.Errorf("%w: %w", errSchemaLog, err)
	}
	return nil
}

// settle writes what is owed. Whoever writes to the journal calls it first; it costs
// nothing when all is well.
func (d *definitions) settle() error {
	if !d.behind.Load() {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.settleLocked()
}

func (d *definitions) settleLocked() error {
	for len(d.owed) > 0 {
		if err := d.log.Append(d.owed[0]); err != nil {
			return fmt.Errorf("%w: %w", errSchemaLog, err)
		}
		d.owed = slices.Delete(d.owed, 0, 1)
	}
	d.behind.Store(false)
	return nil
}

func (d *definitions) addPart(encoded []byte) *Refusal {
	return d.refusal(CauseBadPart, d.change(func(record []byte) ([]byte, error) {
		record, _, err := d.dictionary.AddPart(record, encoded)
		return record, err
	}))
}

func (d *definitions) addSchema(encoded []byte) (id frame.SchemaID, refusal *Refusal) {
	err := d.change(func(record []byte) (_ []byte, err error) {
		record, id, err = d.dictionary.AddSchema(record, encoded)
		return record, err
	})
	return id, d.refusal(CauseBadSchema, err)
}

func (d *definitions) addSource(worker model.WorkerID, host labels.Labels) (source *schemas.Source, refusal *Refusal) {
	err := d.change(func(record []byte) (_ []byte, err error) {
		record, source, err = d.dictionary.AddSource(record, worker, host)
		return record, err
	})
	return source, d.refusal(CauseBadSource, err)
}

func (d *definitions) use(l *lane, id frame.SchemaID, at model.Millis) (span *schemas.Span, refusal *Refusal) {
	err := d.change(func(record []byte) (_ []byte, err error) {
		record, span, err = d.dictionary.Use(record, l.source, l.stream, id, at)
		return record, err
	})
	return span, d.refusal(CauseBadFrame, err)
}

// refusal turns an error of the dictionary or its log into a refusal; bad is the cause
// of those that are none of the known ones.
func (d *definitions) refusal(bad Cause, err error) *Refusal {
	if err == nil {
		return nil
	}
	var limit *schemas.LimitError
	switch {
	case errors.Is(err, errSchemaLog):
		return unwritten("write schemas", err)
	case errors.As(err, &limit) && (limit.Limit == "sources" || limit.Limit == "shapes"):
		return later(CauseTooManyWorkers, "%v", err)
	case errors.As(err, &limit):
		return later(CausePartsFull, "%v", err)
	case errors.Is(err, schemas.ErrUnknownPart):
		return later(CauseUnknownPart, "%v", err)
	case errors.Is(err, schemas.ErrUnknownSchema), errors.Is(err, schemas.ErrUnknownSource):
		// It was unused for so long that it was forgotten: the next session adds it.
		return later(CauseUnknownSchema, "%v", err)
	case bad == CauseBadSource:
		return ends(bad, "%v", err)
	}
	return skips(bad, "%v", err)
}
