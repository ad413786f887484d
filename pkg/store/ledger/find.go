package ledger

import (
	"cmp"
	"container/heap"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Query says which entries are wanted. What is zero does not narrow it.
type Query struct {
	Worker model.WorkerID
	// From and To bound the time, inclusive: entries that touch it are wanted, and
	// refusals that were noted then. The times of refused frames may be anywhere.
	From, To model.Millis
	Causes   []event.Cause
	// Limit is how many at most: the newest.
	Limit int
}

func (q Query) wants(t Total, noted model.Millis) bool {
	touches := func(from, to model.Millis) bool { return to >= q.From && (q.To == 0 || from <= q.To) }
	return (touches(t.From, t.To) || t.Cause.Refused() && touches(noted, noted)) &&
		(len(q.Causes) == 0 || slices.Contains(q.Causes, t.Cause))
}

// Find returns the entries that a query wants, by the time at which they begin,
// and whether there are more. The caller owns them.
func (l *Ledger) Find(q Query) (found []Entry, more bool) {
	newest := newestEntries{limit: q.Limit}
	l.mu.Lock()
	l.eachLocked(q.Worker, func(w *worker) {
		for i := range w.earlier {
			if s := &w.earlier[i]; q.wants(s.Total, s.noted) {
				newest.add(s.public(w.id))
			}
		}
		for _, e := range w.entries {
			if q.wants(e.total(), e.noted) && newest.has(e.gap.From) {
				newest.add(e.public(w.id))
			}
		}
	})
	l.mu.Unlock()
	slices.SortFunc(newest.entries, inOrder)
	return newest.entries, newest.more
}

// Totals sums up what is missing of a worker, or with the zero id of all, by cause
// in the order of their names. Of a query only Worker, From, To and Causes
// count. Entries that touch the time count in full.
func (l *Ledger) Totals(q Query) []Total {
	totals := map[event.Cause]*Total{}
	add := func(t Total, noted model.Millis) {
		if !q.wants(t, noted) {
			return
		}
		sum := totals[t.Cause]
		if sum == nil {
			sum = &Total{Cause: t.Cause}
			totals[t.Cause] = sum
		}
		sum.add(t)
	}
	l.mu.Lock()
	l.eachLocked(q.Worker, func(w *worker) {
		for i := range w.earlier {
			add(w.earlier[i].Total, w.earlier[i].noted)
		}
		for _, e := range w.entries {
			add(e.total(), e.noted)
		}
	})
	l.mu.Unlock()
	list := make([]Total, 0, len(totals))
	for _, t := range totals {
		list = append(list, *t)
	}
	slices.SortFunc(list, func(a, b Total) int { return cmp.Compare(a.Cause, b.Cause) })
	return list
}

func (l *Ledger) eachLocked(id model.WorkerID, visit func(*worker)) {
	if !id.IsZero() {
		if w := l.workers[id]; w != nil {
			visit(w)
		}
		return
	}
	for _, w := range l.workers {
		visit(w)
	}
}

func (s *sum) public(worker model.WorkerID) Entry {
	return Entry{Worker: worker, Earlier: s.Entries, Noted: s.noted,
		Gap: event.Gap{Cause: s.Cause, From: s.From, To: s.To, Frames: s.Frames, Samples: s.Samples}}
}

func inOrder(a, b Entry) int {
	return cmp.Or(cmp.Compare(a.Gap.From, b.Gap.From), cmp.Compare(a.Gap.To, b.Gap.To), slices.Compare(a.Worker[:], b.Worker[:]),
		cmp.Compare(a.Gap.Cause, b.Gap.Cause), cmp.Compare(b.Earlier, a.Earlier), slices.Compare(a.Gap.Boot[:], b.Gap.Boot[:]),
		cmp.Compare(a.Gap.FirstSeq, b.Gap.FirstSeq), cmp.Compare(a.Noted, b.Noted), cmp.Compare(a.Gap.Text, b.Gap.Text))
}

// newestEntries keeps so many entries that begin last: a heap, the one that begins
// first on top.
type newestEntries struct {
	entries []Entry
	limit   int // 0: all
	more    bool
}

// has reports whether an entry that begins then may be among them.
func (n *newestEntries) has(from model.Millis) bool {
	if n.limit > 0 && len(n.entries) == n.limit && from < n.entries[0].Gap.From {
		n.more = true
		return false
	}
	return true
}

func (n *newestEntries) add(e Entry) {
	heap.Push(n, e)
	if n.limit > 0 && len(n.entries) > n.limit {
		heap.Pop(n)
		n.more = true
	}
}

func (n *newestEntries) Len() int           { return len(n.entries) }
func (n *newestEntries) Less(i, j int) bool { return inOrder(n.entries[i], n.entries[j]) < 0 }
func (n *newestEntries) Swap(i, j int)      { n.entries[i], n.entries[j] = n.entries[j], n.entries[i] }
func (n *newestEntries) Push(e any)         { n.entries = append(n.entries, e.(Entry)) }
func (n *newestEntries) Pop() any {
	last := n.entries[len(n.entries)-1]
	n.entries = n.entries[:len(n.entries)-1]
	return last
}
