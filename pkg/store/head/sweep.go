package head

import "time"

const (
	// idleAfter is how long a worker without a session keeps its newest rows. Its series have
	// left every query by then.
	idleAfter = time.Hour
	// bootsFor is how long at least it is remembered what was received of a boot: a
	// spool may be told to keep its records for days.
	bootsFor = 7 * 24 * time.Hour
)

// Sweep forgets what is of no use any more: newest rows of workers that have been silent
// for an hour and have nothing open, what was received of boots that were silent for longer than
// a week and the retention, workers of which nothing is left, and schemas that
// nobody has. It is to be called every minute or so.
func (h *Head) Sweep(now time.Time) {
	for _, w := range h.allWorkers() {
		w.mu.Lock()
		w.sweep(now)
		w.mu.Unlock()
	}
	h.schemas.tidy()
}

// sweep is called with mu held.
func (w *worker) sweep(now time.Time) {
	if !w.hasSession() && now.Sub(w.quiet) >= idleAfter {
		w.dropIdleLanes()
	}
	for id, b := range w.boots {
		if !w.inUse(b) && now.Sub(b.heard) >= max(bootsFor, w.head.limits.Retention) {
			delete(w.boots, id)
		}
	}
	if !w.hasSession() && len(w.boots) == 0 && len(w.lanes) == 0 && now.Sub(w.quiet) >= idleAfter {
		w.forget()
	}
}

// dropIdleLanes drops the lanes that have nothing open.
func (w *worker) dropIdleLanes() {
	h := w.head
	for key, l := range w.lanes {
		l.mu.Lock()
		open := len(l.groups) + len(l.sealing)
		l.mu.Unlock()
		if open > 0 {
			continue
		}
		h.mu.Lock()
		delete(w.lanes, key)
		delete(h.lanes, key)
		h.mu.Unlock()
	}
}

// forget removes the worker. Called with mu held.
func (w *worker) forget() {
	h := w.head
	w.gone = true
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.workers, w.id)
	h.gone.keep(&w.figures)
}

// makeRoom forgets the worker without sessions and lanes that has been silent for longest: only
// what was received of it was remembered. It reports whether there was one.
func (h *Head) makeRoom() bool {
	var oldest *worker
	var since time.Time
	for _, w := range h.allWorkers() {
		if !w.mu.TryLock() {
			continue // it is busy
		}
		if !w.gone && !w.hasSession() && len(w.lanes) == 0 && (oldest == nil || w.quiet.Before(since)) {
			oldest, since = w, w.quiet
		}
		w.mu.Unlock()
	}
	if oldest == nil {
		return false
	}
	oldest.mu.Lock()
	defer oldest.mu.Unlock()
	if oldest.gone || oldest.hasSession() || len(oldest.lanes) > 0 {
		return false
	}
	oldest.forget()
	return true
}
