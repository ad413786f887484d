package ledger

// Merge notes what another ledger has and this one has not, and returns how many entries
// those were. They keep the time at which they were noted, so the retention takes
// them as it would have. The other one must not change meanwhile.
//
// An entry is known when one of the records that it came by is: nothing is counted twice,
// and refusals of an entry that was taken over in part are left out. What the other has
// merged cannot be told from entries that are here: it is taken over for workers of
// which nothing was here.
func (l *Ledger) Merge(other *Ledger) (added int) {
	other.mu.Lock()
	defer other.mu.Unlock()
	for _, w := range other.workers {
		added += l.mergeWorker(w)
	}
	return added
}

func (l *Ledger) mergeWorker(from *worker) (added int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	strange := l.workers[from.id] == nil
	if strange && from.empty() {
		return 0
	}
	w := l.workerLocked(from.id)
	if strange && len(from.earlier) > 0 {
		was := w.bytes
		for _, s := range from.earlier {
			w.sum(s)
			added++
		}
		l.bytes += w.bytes - was
		w.dirty = true
		l.sums = append(l.sums, w)
		// Of numbers that are in the sums: none of those that are given out from now on.
		w.through = l.next
		l.next++
	}
	for _, e := range from.entries {
		b := w.of(e.boot.id)
		if e.seqs.runs == 0 || b.knowsAny(&e.seqs) {
			continue
		}
		l.enterLocked(w, e.copyTo(b))
		added++
	}
	l.boundLocked(w)
	return added
}

// knowsAny reports whether an entry came by one of the records. Only the two ends
// of long runs are asked about.
func (b *boot) knowsAny(s *seqs) (known bool) {
	s.each(func(start, last uint64) bool {
		known = b.knows(start) || b.knows(last)
		return !known
	})
	return known
}

// copyTo is the entry as one of another ledger, all of which is to be written.
func (e *entry) copyTo(b *boot) *entry {
	c := &entry{boot: b, gap: e.gap, noted: e.noted, refused: e.refused, seqs: e.seqs.clone()}
	c.gap.Cause = known(e.gap.Cause)
	if c.refused {
		c.unsaved = &share{seqs: c.seqs.clone(), from: e.gap.From, to: e.gap.To, frames: e.gap.Frames, samples: e.gap.Samples}
	}
	return c
}

// clone is a set that can grow by itself.
func (s *seqs) clone() seqs {
	c := *s
	c.packed = append([]byte(nil), s.packed...)
	return c
}
