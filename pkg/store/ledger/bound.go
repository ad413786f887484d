package ledger

import (
	"maps"
	"slices"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// boundLocked keeps a worker, and all together, within the bounds. It makes some
// room at once, so that little is to be done each time.
func (l *Ledger) boundLocked(w *worker) {
	if n := len(w.entries); n > l.cfg.MaxPerWorker {
		l.foldLocked(w, n-l.cfg.MaxPerWorker+l.cfg.MaxPerWorker/8)
	}
	if l.bytes <= max(l.cfg.mostLive(), l.roof) {
		return
	}
	most := 0
	for _, w := range l.workers {
		most = max(most, len(w.entries))
	}
	room := l.cfg.mostLive() / 16
	for l.bytes > l.cfg.mostLive()-room && most > 0 {
		most = most * 3 / 4
		for _, w := range l.workers {
			if n := len(w.entries) - most; n > 0 {
				l.foldLocked(w, n)
			}
		}
	}
	l.roof = l.bytes + room // if sums alone are more, it is not tried each time
}

func (l *Ledger) foldLocked(w *worker, n int) {
	was, count := w.bytes, len(w.entries)
	w.fold(n)
	l.bytes += w.bytes - was
	l.count -= count - len(w.entries)
	l.stats.Merged += uint64(count - len(w.entries))
	if !w.dirty {
		w.dirty = true
		l.sums = append(l.sums, w)
	}
}

// Tend forgets what is older than the retention and makes the log shorter. Call it
// every minute or so.
func (l *Ledger) Tend() {
	l.saving.Lock()
	defer l.saving.Unlock()
	l.mu.Lock()
	l.expireLocked()
	l.mu.Unlock()
	if err := l.save(); err != nil {
		return // Sync reports it
	}
	l.shorten()
}

func (l *Ledger) expireLocked() {
	l.roof = 0
	before := l.now() - model.Millis(l.cfg.Retention/time.Millisecond)
	for id, w := range l.workers {
		was := w.bytes
		n := w.expire(before)
		l.bytes += w.bytes - was
		l.count -= n
		l.stats.Expired += uint64(n)
		if w.empty() {
			delete(l.workers, id)
		}
	}
}

// shorten writes the log anew when much of it is not needed any more: everything
// once more behind, then what was before goes. A crash in between leaves a log
// that says the same. The caller holds saving.
func (l *Ledger) shorten() {
	l.mu.Lock()
	live := l.bytes
	l.mu.Unlock()
	size := l.disk.Stats().Bytes
	if size < 2*live+l.cfg.slack() || l.tried > 0 && size < l.tried+l.cfg.slack() {
		return
	}
	l.tried = 0
	if err := l.rewrite(); err != nil { // it stays as long as it is
		l.tried = size
		l.log.Warn("The gap ledger's log cannot be made shorter", logkey.Path, l.dir, logkey.Err, err)
	}
	l.mu.Lock()
	l.stats.Rewrites++
	l.mu.Unlock()
}

// rewrite goes by way of l.batch: what does not come into the log now is written
// by the next Sync, for it says what entries do not hold as unsaved any more.
func (l *Ledger) rewrite() error {
	start := l.disk.Next()
	err := l.each(func(w *worker) {
		w.collectSums(&l.batch)
		for _, e := range w.entries {
			r := e.record()
			l.batch.add(&r)
			e.unsaved = nil
		}
	}, func() error { return l.batch.flush(l.disk) })
	if err == nil {
		err = l.batch.appendTo(l.disk)
	}
	if err == nil {
		err = l.disk.Sync()
	}
	if err == nil {
		err = l.disk.DropThrough(start - 1)
	}
	return err
}

// each visits the workers while mu is held, and calls between while it is not.
func (l *Ledger) each(visit func(*worker), between func() error) error {
	l.mu.Lock()
	workers := slices.Collect(maps.Values(l.workers))
	l.mu.Unlock()
	for _, w := range workers {
		l.mu.Lock()
		visit(w)
		l.mu.Unlock()
		if err := between(); err != nil {
			return err
		}
	}
	return nil
}
