package ledger

import "encoding/binary"

// maxRuns is how many runs a set may have.
const maxRuns = 1024

// seqs is a set of sequence numbers to which larger ones are added. It is kept as
// it is written: pairs of varints, how far a run begins behind the end of the one
// before, and how many more than one it has. A run that goes on costs nothing.
type seqs struct {
	packed []byte // of all runs but the last
	runs   int    // with the last
	end    uint64 // last number of the run before the last; 0: there is none
	start  uint64 // of the last run
	first  uint64
	last   uint64
	count  uint64
}

// add adds the numbers from start to last. They must be above all that are in it,
// or nothing is changed and the answer is false.
func (s *seqs) add(start, last uint64) bool {
	switch {
	case start <= s.last || last < start:
		return false
	case s.runs == 0:
		s.runs, s.first, s.start = 1, start, start
	case start > s.last+1:
		s.packed = appendRun(s.packed, s.end, s.start, s.last)
		s.runs++
		s.end, s.start = s.last, start
	}
	s.last = last
	s.count += last - start + 1
	return true
}

// join adds all numbers of another set, under the same condition.
func (s *seqs) join(other *seqs) bool {
	if other.runs == 0 || other.first <= s.last {
		return false
	}
	other.each(func(start, last uint64) bool { return s.add(start, last) })
	return true
}

// has reports whether seq is in the set.
func (s *seqs) has(seq uint64) (found bool) {
	if s.runs == 0 || seq < s.first || seq > s.last {
		return false
	}
	s.each(func(start, last uint64) bool {
		found = start <= seq && seq <= last
		return last < seq
	})
	return found
}

// each visits the runs, smallest first, until visit returns false.
func (s *seqs) each(visit func(start, last uint64) bool) {
	if s.runs == 0 {
		return
	}
	for rest, end := s.packed, uint64(0); len(rest) > 0; {
		skip, n := binary.Uvarint(rest)
		more, m := binary.Uvarint(rest[n:])
		rest = rest[n+m:]
		start := end + skip
		end = start + more
		if !visit(start, end) {
			return
		}
	}
	visit(s.start, s.last)
}

func appendRun(dst []byte, end, start, last uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(dst, start-end), last-start)
}
