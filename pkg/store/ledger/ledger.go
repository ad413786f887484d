package ledger

import (
	"errors"
	"log/slog"
	"sync"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// ErrInvalid says that what was to be noted names no worker, boot or record.
var ErrInvalid = errors.New("a gap without worker, boot or sequence number")

// Ledger is the book of what is missing. All methods may be called at once.
type Ledger struct {
	dir  string
	cfg  Config
	deps Deps
	disk *durable.Log
	log  *slog.Logger

	// saving is held by whoever writes. It is taken before mu, and held while the
	// disk is at work.
	saving sync.Mutex
	batch  batch // was taken from the state and is not in the log yet
	tried  int64 // the log's size when writing it anew failed; 0: it did not

	// mu guards what follows, and is held for moments.
	mu      sync.Mutex
	workers map[model.WorkerID]*worker
	entries []*entry  // to be written
	sums    []*worker // whose sums are to be written
	next    uint64    // number of the next entry
	bytes   int64     // of all workers
	roof    int64     // until then bytes are not bounded again
	count   int       // entries of all workers
	stats   Stats
}

// now is the collector's clock as entries hold it.
func (l *Ledger) now() model.Millis {
	return min(max(0, model.Millis(l.deps.Now().UnixMilli())), event.MaxTime)
}

// Add notes what a worker reports, unless that record was noted before. It reports
// whether it was new. It is in memory until Sync; the only error is ErrInvalid.
func (l *Ledger) Add(r Report) (added bool, err error) {
	if r.Worker.IsZero() || r.Boot.IsZero() || r.Seq == 0 {
		return false, ErrInvalid
	}
	gap := r.Gap.Clean()
	gap.Cause = known(gap.Cause)
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.workerLocked(r.Worker)
	b := w.of(r.Boot)
	if b.knows(r.Seq) {
		l.stats.Repeated++
		return false, nil
	}
	if w.hasLoss(&gap) {
		l.stats.Repeated++
		return false, nil
	}
	e := &entry{boot: b, gap: gap, noted: l.now()}
	e.seqs.add(r.Seq, r.Seq)
	l.enterLocked(w, e)
	l.countLocked(gap.Cause, gap.Frames, gap.Samples)
	l.boundLocked(w)
	return true, nil
}

// Refuse notes a record that was not taken, unless it was noted before. It reports
// whether it was new. It is in memory until Sync; the only error is ErrInvalid.
func (l *Ledger) Refuse(r Refusal) (added bool, err error) {
	if r.Worker.IsZero() || r.Boot.IsZero() || r.Seq == 0 {
		return false, ErrInvalid
	}
	at := min(max(0, r.At), event.MaxTime)
	cause := r.Cause
	if !cause.Refused() {
		cause = event.RefusedOther
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.workerLocked(r.Worker)
	b := w.of(r.Boot)
	if b.knows(r.Seq) {
		l.stats.Repeated++
		return false, nil
	}
	l.countLocked(cause, 1, r.Samples)
	e := b.growing(cause, r.Seq, at, w.growable(l.cfg.MaxPerWorker))
	if e == nil {
		e = &entry{boot: b, refused: true, gap: event.Gap{Cause: known(cause), Text: model.Line(r.Text, event.MaxText)}}
		l.growLocked(e, r, at)
		l.enterLocked(w, e)
		l.boundLocked(w)
		return true, nil
	}
	was := e.size()
	l.growLocked(e, r, at)
	w.bytes += e.size() - was
	l.bytes += e.size() - was
	b.high = max(b.high, r.Seq)
	b.touch(e)
	l.changedLocked(e)
	return true, nil
}

// Refused is Refuse in the form that the store calls. samples is negative if it is
// not known.
func (l *Ledger) Refused(worker model.WorkerID, boot model.BootID, seq uint64, cause event.Cause, at model.Millis, samples int) error {
	_, err := l.Refuse(Refusal{Worker: worker, Boot: boot, Seq: seq, Cause: cause, At: at, Samples: uint64(max(0, samples))})
	return err
}

// growLocked adds a refusal to an entry, and to what of it is to be written.
func (l *Ledger) growLocked(e *entry, r Refusal, at model.Millis) {
	if e.unsaved == nil {
		e.unsaved = &share{from: at, to: at}
	}
	u, g := e.unsaved, &e.gap
	if g.Frames == 0 {
		g.From, g.To = at, at
	}
	u.from, u.to, g.From, g.To = min(u.from, at), max(u.to, at), min(g.From, at), max(g.To, at)
	u.seqs.add(r.Seq, r.Seq)
	e.seqs.add(r.Seq, r.Seq)
	u.frames++
	g.Frames++
	u.samples, g.Samples = plus(u.samples, r.Samples), plus(g.Samples, r.Samples)
	e.noted = l.now()
}

func (l *Ledger) workerLocked(id model.WorkerID) *worker {
	w := l.workers[id]
	if w == nil {
		w = &worker{id: id, boots: map[model.BootID]*boot{}}
		l.workers[id] = w
	}
	return w
}

// enterLocked gives an entry its number and its place.
func (l *Ledger) enterLocked(w *worker, e *entry) {
	e.id = l.next
	l.next++
	was := w.bytes
	w.enter(e)
	l.bytes += w.bytes - was
	l.count++
	l.changedLocked(e)
}

func (l *Ledger) changedLocked(e *entry) {
	if !e.dirty {
		e.dirty = true
		l.entries = append(l.entries, e)
	}
}

// Close writes and syncs what is noted, and lets go of the folder whether or not
// that succeeds. Closing again does nothing.
func (l *Ledger) Close() error {
	l.saving.Lock()
	defer l.saving.Unlock()
	err := l.save()
	if errors.Is(err, durable.ErrClosed) {
		return nil
	}
	return errors.Join(err, l.disk.Close())
}
