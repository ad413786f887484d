package registry

import (
	"maps"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// SetBoot notes which process has the session of a worker, for those who follow
// the feed: it alone may send frames. It is not kept in the file. It is false
// when id is not known: say it again once it is.
func (r *Registry) SetBoot(id model.WorkerID, boot model.BootID) bool {
	return r.annotate(id, func(w *Worker) (changed bool) {
		changed = w.Boot != boot
		w.Boot = boot
		return changed
	})
}

// SetLabels is SetBoot of the labels that the fleet has given to a worker. The
// map is taken over: do not write it afterwards.
func (r *Registry) SetLabels(id model.WorkerID, labels map[string]string) bool {
	return r.annotate(id, func(w *Worker) (changed bool) {
		changed = !maps.Equal(w.Labels, labels)
		w.Labels = labels
		return changed
	})
}

func (r *Registry) annotate(id model.WorkerID, set func(*Worker) (changed bool)) bool {
	r.mu.Lock()
	defer r.unlock()
	e := r.known[id]
	if e == nil {
		return false
	}
	if set(&e.w) {
		r.changedLocked(e)
	}
	return true
}
