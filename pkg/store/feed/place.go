package feed

import (
	"cmp"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// growth is what a stream had before the commit.
type growth struct {
	stream *stream
	sheets []*sheet
}

// adopt returns the series of the feed that a sample is of. If there is none, it is to be
// placed: it has no stream then.
func (f *Feed) adopt(s *series, v float64) *series {
	if known := f.table.find(s.hash, s.labels); known != nil {
		return known
	}
	s.scale = decimals(v)
	s.some = false
	f.table.add(s)
	f.fresh = append(f.fresh, s)
	return s
}

// place puts the fresh series of the commit into streams; late are their samples.
func (f *Feed) place() {
	if len(f.fresh) == 0 {
		return
	}
	// Where a series is to go depends on when it comes first.
	first := make(map[*series]int64, len(f.fresh))
	for _, one := range f.late {
		if t, known := first[one.series]; !known || one.t < t {
			first[one.series] = one.t
		}
	}
	fresh := slices.Clone(f.fresh)
	slices.SortStableFunc(fresh, func(a, b *series) int { return cmp.Compare(first[a], first[b]) })
	for from := 0; from < len(fresh); {
		t, to := first[fresh[from]], from+1
		for to < len(fresh) && first[fresh[to]] == t {
			to++
		}
		for from < to {
			st := f.choose(t)
			n := min(st.room(), to-from)
			f.grow(st, fresh[from:from+n])
			st.at = t // it will have a row then
			from += n
		}
	}
}

// grow adds series to a stream, and remembers what it had.
func (f *Feed) grow(st *stream, fresh []*series) {
	if !slices.ContainsFunc(f.grown, func(g growth) bool { return g.stream == st }) {
		f.grown = append(f.grown, growth{st, st.sheets})
	}
	st.add(fresh)
}

// choose returns a stream with room for series that come at a time.
func (f *Feed) choose(t int64) *stream {
	var empty, roomy *stream
	for _, st := range f.streams {
		room := st.room()
		switch {
		case room <= 0:
			continue
		case st.columns == 0:
			if empty == nil {
				empty = st
			}
		case st.at == t || st.commit == f.commit && len(st.cells) > 0 && st.cells[0].t == t:
			return st
		}
		if roomy == nil || room > roomy.room() {
			roomy = st
		}
	}
	switch {
	case empty != nil:
		return empty
	case len(f.streams) < Streams(f.options.MaxSeries) || roomy == nil:
		st := &stream{id: model.StreamID(len(f.streams) + 1)}
		f.streams = append(f.streams, st)
		return st
	}
	return roomy
}

// shrink takes back what grew for a commit that failed, where nothing is stored of it.
func (f *Feed) shrink() {
	for _, s := range f.fresh {
		if s.stream == nil || s.stream.written != f.commit {
			f.table.remove(s)
		}
	}
	for _, g := range f.grown {
		if g.stream.written != f.commit {
			g.stream.set(g.sheets)
		}
	}
}
