package ledger

import (
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

const (
	// together is how far apart in time refusals of one cause may be that become
	// one entry, in milliseconds.
	together = 15 * 60 * 1000
	// maxOpen is how many entries of a boot can grow at once: its live stream and
	// what it delivers later come at the same time, for one or two causes.
	maxOpen = 4
	// maxCauses is how many causes the sums of a worker may have; more are
	// summed up as event.CauseOther.
	maxCauses = 32
)

// worker is what the ledger has of one worker.
type worker struct {
	id      model.WorkerID
	entries []*entry // by number
	boots   map[model.BootID]*boot
	// earlier are the sums of entries that were merged, by cause; through is the
	// number up to which entries are in them.
	earlier []sum
	through uint64
	dirty   bool // the sums are to be written
	bytes   int64
}

// sum is what entries of one cause have become.
type sum struct {
	Total
	noted model.Millis
}

// boot is what records of one boot have brought.
type boot struct {
	worker   *worker
	id       model.BootID
	reports  []uint64 // the records that they came in, sorted
	refusals []*entry
	open     []*entry // of refusals, the one that grew last first
	high     uint64   // the highest sequence number in the entries
}

// knows reports whether an entry came by that record.
func (b *boot) knows(seq uint64) bool {
	if seq > b.high {
		return false
	}
	for _, e := range b.refusals {
		if e.seqs.has(seq) {
			return true
		}
	}
	_, found := slices.BinarySearch(b.reports, seq)
	return found
}

// hasLoss reports whether a worker has told of the same lost records before. One that was
// killed before it wrote down that its report had arrived may lose that, too, and tells
// again; records are lost once.
func (w *worker) hasLoss(gap *event.Gap) bool {
	if !gap.Cause.Sampled() || gap.Boot.IsZero() || gap.FirstSeq == 0 {
		return false
	}
	return slices.ContainsFunc(w.entries, func(e *entry) bool {
		g := &e.gap
		return !e.refused && g.FirstSeq == gap.FirstSeq && g.LastSeq == gap.LastSeq && g.Boot == gap.Boot &&
			g.Cause == gap.Cause && g.Frames == gap.Frames && g.Samples == gap.Samples
	})
}

// growing returns the entry that a refusal continues, or nil. oldest is the number
// of the oldest entry that may grow.
func (b *boot) growing(cause event.Cause, seq uint64, at model.Millis, oldest uint64) (best *entry) {
	for _, e := range b.open {
		if e.id >= oldest && e.gap.Cause == cause && seq > e.seqs.last && at >= e.gap.From-together && at <= e.gap.To+together &&
			(e.seqs.runs < maxRuns || seq == e.seqs.last+1) && (best == nil || e.seqs.last > best.seqs.last) {
			best = e
		}
	}
	return best
}

// touch makes e the one that grew last.
func (b *boot) touch(e *entry) {
	at := slices.Index(b.open, e)
	if at < 0 {
		if at = len(b.open); at < maxOpen {
			b.open = append(b.open, nil)
		} else {
			at = maxOpen - 1
		}
	}
	copy(b.open[1:at+1], b.open[:at])
	b.open[0] = e
}

// growable is the number of the oldest entry that may grow. Those that will soon
// be merged may not, or what they came by would be forgotten at once.
func (w *worker) growable(mostEntries int) uint64 {
	if n := len(w.entries) - mostEntries/2; n > 0 {
		return w.entries[n].id
	}
	return 0
}

// of returns the boot of that id, a new one if need be.
func (w *worker) of(id model.BootID) *boot {
	b := w.boots[id]
	if b == nil {
		b = &boot{worker: w, id: id}
		w.boots[id] = b
	}
	return b
}

// enter puts an entry behind the others.
func (w *worker) enter(e *entry) {
	w.entries = append(w.entries, e)
	w.index(e)
	w.bytes += e.size()
}

func (w *worker) index(e *entry) {
	e.boot.high = max(e.boot.high, e.seqs.last)
	if e.refused {
		e.boot.refusals = append(e.boot.refusals, e)
		e.boot.touch(e)
		return
	}
	at, _ := slices.BinarySearch(e.boot.reports, e.seqs.last)
	e.boot.reports = slices.Insert(e.boot.reports, at, e.seqs.last)
}

// remove takes away the entries for which that holds.
func (w *worker) remove(which func(*entry) bool) (removed int) {
	w.entries = slices.DeleteFunc(w.entries, func(e *entry) bool {
		if !which(e) {
			return false
		}
		e.gone = true
		removed++
		w.bytes -= e.size()
		return true
	})
	if removed == 0 {
		return 0
	}
	gone := func(e *entry) bool { return e.gone }
	for _, b := range w.boots {
		b.reports = b.reports[:0]
	}
	for _, e := range w.entries {
		if !e.refused {
			e.boot.reports = append(e.boot.reports, e.seqs.last)
		}
	}
	for id, b := range w.boots {
		slices.Sort(b.reports)
		b.refusals, b.open = slices.DeleteFunc(b.refusals, gone), slices.DeleteFunc(b.open, gone)
		if len(b.refusals) == 0 && len(b.reports) == 0 {
			delete(w.boots, id)
		}
	}
	return removed
}

// fold merges the n oldest entries into the sums.
func (w *worker) fold(n int) {
	n = min(n, len(w.entries))
	if n == 0 {
		return
	}
	w.through = w.entries[n-1].id
	for _, e := range w.entries[:n] {
		w.sum(sum{e.total(), e.noted})
	}
	w.remove(func(e *entry) bool { return e.id <= w.through })
}

// sum adds to the sums.
func (w *worker) sum(more sum) {
	find := func(cause event.Cause) int {
		return slices.IndexFunc(w.earlier, func(s sum) bool { return s.Cause == cause })
	}
	at := find(more.Cause)
	if at < 0 && len(w.earlier) >= maxCauses-1 {
		more.Cause = event.CauseOther
		at = find(more.Cause)
	}
	if at < 0 {
		at = len(w.earlier)
		w.earlier = append(w.earlier, sum{Total: Total{Cause: more.Cause}, noted: more.noted})
		w.bytes += overhead
	}
	w.earlier[at].add(more.Total)
	w.earlier[at].noted = max(w.earlier[at].noted, more.noted)
}

// expire forgets what was noted before that. It returns how many entries went.
func (w *worker) expire(before model.Millis) int {
	count := len(w.earlier)
	w.earlier = slices.DeleteFunc(w.earlier, func(s sum) bool { return s.noted < before })
	w.bytes -= overhead * int64(count-len(w.earlier))
	return w.remove(func(e *entry) bool { return e.noted < before })
}

func (w *worker) empty() bool { return len(w.entries) == 0 && len(w.earlier) == 0 }
