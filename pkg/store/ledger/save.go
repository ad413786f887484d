package ledger

import (
	"fmt"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
)

// piece is how much goes to the log with one call, in bytes.
const piece = 256 << 10

// batch is some records, one behind the other.
type batch struct {
	buf  []byte
	ends []int
}

func (b *batch) add(r *record) {
	b.buf = appendRecord(b.buf, r)
	b.ends = append(b.ends, len(b.buf))
}

func (b *batch) empty() bool { return len(b.ends) == 0 }

// appendTo appends the records to a log. Those that are in it are no more in the
// batch, also after an error.
func (b *batch) appendTo(log *durable.Log) error {
	for at, start := 0, 0; at < len(b.ends); {
		var records [][]byte
		first := start
		for at < len(b.ends) && start-first < piece {
			records = append(records, b.buf[start:b.ends[at]])
			start = b.ends[at]
			at++
		}
		if _, err := log.Append(records...); err != nil {
			b.drop(at-len(records), first)
			return err
		}
	}
	b.buf, b.ends = b.buf[:0], b.ends[:0]
	if cap(b.buf) > 4*piece {
		*b = batch{}
	}
	return nil
}

// flush appends the records once there are some.
func (b *batch) flush(log *durable.Log) error {
	if len(b.buf) < piece {
		return nil
	}
	return b.appendTo(log)
}

// drop takes away the first n records, which end at offset.
func (b *batch) drop(n, offset int) {
	b.buf = append(b.buf[:0], b.buf[offset:]...)
	b.ends = append(b.ends[:0], b.ends[n:]...)
	for i := range b.ends {
		b.ends[i] -= offset
	}
}

// Sync returns when everything that was noted before the call is on disk. When it
// fails, with durable.ErrFull or durable.ErrDisk, all is still noted, and the
// next Sync tries again.
func (l *Ledger) Sync() error {
	l.saving.Lock()
	defer l.saving.Unlock()
	err := l.save()
	if err == nil {
		err = l.disk.Sync()
	}
	if err != nil {
		l.mu.Lock()
		l.stats.SyncErrors++
		l.mu.Unlock()
		return fmt.Errorf("gap ledger: %w", err)
	}
	l.shorten()
	return nil
}

// save hands to the log what is not in it. The caller holds saving.
func (l *Ledger) save() error {
	if err := l.batch.appendTo(l.disk); err != nil {
		return err
	}
	l.mu.Lock()
	l.collectLocked()
	l.mu.Unlock()
	if l.batch.empty() {
		return nil
	}
	return l.batch.appendTo(l.disk)
}

// collectLocked puts what is to be written into the batch.
func (l *Ledger) collectLocked() {
	for i, e := range l.entries {
		l.entries[i] = nil
		e.dirty = false
		if e.gone {
			continue
		}
		r := e.record()
		if e.refused {
			s := e.unsaved
			if s == nil { // shorten has written it
				continue
			}
			r.kind, r.seqs = kindRefusals, s.seqs
			r.gap.From, r.gap.To, r.gap.Frames, r.gap.Samples = s.from, s.to, s.frames, s.samples
			e.unsaved = nil
		}
		l.batch.add(&r)
	}
	l.entries = l.entries[:0]
	for i, w := range l.sums {
		l.sums[i] = nil
		w.dirty = false
		w.collectSums(&l.batch)
	}
	l.sums = l.sums[:0]
}

// record is the entry as it stands.
func (e *entry) record() record {
	r := record{kind: kindReport, worker: e.boot.worker.id, id: e.id, boot: e.boot.id, noted: e.noted, gap: e.gap, seqs: e.seqs}
	if e.refused {
		r.kind = kindEntry
	}
	return r
}

func (w *worker) collectSums(b *batch) {
	if len(w.earlier) > 0 {
		b.add(&record{kind: kindEarlier, worker: w.id, id: w.through, sums: w.earlier})
	}
}

// Snapshot writes a ledger that has what this one has at this time into another
// folder, which must be empty. It can be opened when Snapshot has returned nil.
func (l *Ledger) Snapshot(dir string) (err error) {
	log, _, err := durable.Open(dir, l.options())
	if err != nil {
		return fmt.Errorf("snapshot of the gap ledger: %w", err)
	}
	defer func() {
		if closeErr := log.Close(); err == nil && closeErr != nil {
			err = fmt.Errorf("snapshot of the gap ledger: %w", closeErr)
		}
	}()
	var all batch
	err = l.each(func(w *worker) {
		w.collectSums(&all)
		for _, e := range w.entries {
			r := e.record()
			all.add(&r)
		}
	}, func() error { return all.flush(log) })
	if err == nil {
		err = all.appendTo(log)
	}
	if err == nil {
		err = log.Sync()
	}
	if err != nil {
		return fmt.Errorf("snapshot of the gap ledger: %w", err)
	}
	return nil
}
