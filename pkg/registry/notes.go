package registry

import (
	"context"
	"log/slog"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// note is a log line in waiting: nothing is logged while the lock is held.
type note struct {
	kind noteKind
	from model.WorkerState
	w    Worker
}

type noteKind uint8

const (
	noteState noteKind = iota
	noteHost
	noteConflict
	noteConflictOver
	noteForgotten
)

// level is Debug for workers that are not admitted: strangers may be many.
func (k noteKind) level(w *Worker) slog.Level {
	switch {
	case !w.Admitted():
		return slog.LevelDebug
	case k == noteConflict:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

func (r *Registry) noteLocked(e *entry, kind noteKind, from model.WorkerState) {
	if r.log.Enabled(context.Background(), kind.level(&e.w)) {
		r.notes = append(r.notes, note{kind: kind, from: from, w: e.w})
	}
}

// unlock releases the lock and then writes the log lines.
func (r *Registry) unlock() {
	notes := r.notes
	r.notes = nil
	r.mu.Unlock()
	for i := range notes {
		notes[i].log(r.log)
	}
}

func (n *note) log(to *slog.Logger) {
	ctx, w, level := context.Background(), &n.w, n.kind.level(&n.w)
	log := func(message string, more ...any) {
		to.Log(ctx, level, message, append([]any{"worker", w.ID, "instance", w.Instance, "host", w.Host, "source", w.Source}, more...)...)
	}
	switch n.kind {
	case noteState:
		log("worker changed state", "from", n.from, "to", w.State, "last_contact", w.LastContact)
	case noteHost:
		log("worker has a new host name or address")
	case noteConflict:
		log("two machines use one worker id", "other_host", w.Rival.Host, "other_source", w.Rival.Source)
	case noteConflictOver:
		log("only one machine uses the worker id again")
	case noteForgotten:
		log("worker forgotten", "state", w.State)
	}
}
