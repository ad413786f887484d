package query

import (
	"cmp"
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// merger makes one timeline of a series that is in several places. It keeps its memory for
// the next one.
type merger struct {
	homes   []home
	pieces  []samples // of one lane
	ranked  []ranked  // of one lane, if it is sparse,
	ranks   []uint64  // and of what was joined of it
	only    [1]place
	joined  samples // of all lanes
	streams []stream
	out     samples
}

// home is where a series is.
type home struct {
	lane   *lane
	group  int // of the set, or of again
	index  int
	chunks []chunk
	sparse bool // its part is
}

// stream is a series in one lane.
type stream struct {
	lane    *lane
	samples samples
	next    int
	sparse  bool  // absent is an end that was told
	live    bool  // had a value in the last row
	last    int64 // time of that row
}

// several begins with a series that is in several places.
func (it *iterator) several(s *series) {
	m := &it.merger
	if it.err = m.gather(s); it.err != nil {
		return
	}
	m.joined = samples{m.joined.t[:0], m.joined.v[:0]}
	m.streams = m.streams[:0]
	for from := 0; from < len(m.homes); {
		to := from + 1
		for to < len(m.homes) && m.homes[to].lane == m.homes[from].lane {
			to++
		}
		m.lane(m.homes[from:to])
		from = to
	}
	w := &s.set.window
	m.out = samples{m.out.t[:0], m.out.v[:0]}
	m.merge(int64(w.mint), int64(w.maxt), int64(w.lookback))
	clear(m.homes)
	clear(m.pieces)
	it.now = m.out
}

// gather finds the places of a series, sorted by lane.
func (m *merger) gather(s *series) error {
	set := s.set
	m.homes = m.homes[:0]
	places := s.places
	if places == nil {
		m.only[0] = s.place
		places = m.only[:]
	}
	for _, p := range places {
		g := &set.groups[p.group]
		m.homes = append(m.homes, home{&set.lanes[g.lane], int(p.group), int(p.index), g.chunks, g.part.IsSparse()})
	}
	slices.SortStableFunc(m.homes, func(a, b home) int {
		switch {
		case a.lane == b.lane:
			return 0
		case a.lane.before(b.lane):
			return -1
		}
		return 1
	})
	for from := 0; from < len(m.homes); {
		n := m.homes[from].lane
		to := from + 1
		for to < len(m.homes) && m.homes[to].lane == n {
			to++
		}
		if n.lazy || n.rolled != nil {
			again := make([]group, to-from)
			for i := range again {
				h := &m.homes[from+i]
				again[i] = set.groups[h.group].one(int32(h.index))
			}
			if err := set.reload(n, again); err != nil {
				return err
			}
			for i := range again {
				m.homes[from+i].chunks, m.homes[from+i].index = again[i].chunks, 0
			}
		}
		from = to
	}
	return nil
}

// lane joins the chunks of one lane: a series goes from one version of a part to another.
func (m *merger) lane(homes []home) {
	if homes[0].sparse {
		m.streams = append(m.streams, stream{lane: homes[0].lane, sparse: true, samples: m.sparseLane(homes)})
		return
	}
	m.pieces = m.pieces[:0]
	for _, h := range homes {
		for i := range h.chunks {
			if c := h.chunks[i].column(h.index); len(c.t) > 0 {
				m.pieces = append(m.pieces, c)
			}
		}
	}
	slices.SortStableFunc(m.pieces, func(a, b samples) int { return cmp.Compare(a.t[0], b.t[0]) })
	all := &m.joined
	from := len(all.t)
	for _, p := range m.pieces {
		all.add(from, p)
	}
	m.streams = append(m.streams, stream{
		lane:    homes[0].lane,
		samples: samples{all.t[from:len(all.t):len(all.t)], all.v[from:len(all.v):len(all.v)]},
	})
}

// add adds samples that begin no earlier than what was added before, from which on they may
// lie between each other. At one time a value is more than none.
func (s *samples) add(from int, p samples) {
	at := len(s.t)
	for at > from && s.t[at-1] >= p.t[0] {
		at--
	}
	if at == len(s.t) {
		s.t, s.v = append(s.t, p.t...), append(s.v, p.v...)
		return
	}
	old := samples{slices.Clone(s.t[at:]), slices.Clone(s.v[at:])}
	s.t, s.v = s.t[:at], s.v[:at]
	i, k := 0, 0
	for i < len(old.t) && k < len(p.t) {
		switch {
		case old.t[i] < p.t[k]:
			s.t, s.v = append(s.t, old.t[i]), append(s.v, old.v[i])
			i++
		case old.t[i] > p.t[k]:
			s.t, s.v = append(s.t, p.t[k]), append(s.v, p.v[k])
			k++
		default:
			v := old.v[i]
			if model.IsAbsent(v) {
				v = p.v[k]
			}
			s.t, s.v = append(s.t, old.t[i]), append(s.v, v)
			i, k = i+1, k+1
		}
	}
	s.t, s.v = append(s.t, old.t[i:]...), append(s.v, old.v[i:]...)
	s.t, s.v = append(s.t, p.t[k:]...), append(s.v, p.v[k:]...)
}

// merge merges the lanes. What is absent then is a marker: see iterator.
func (m *merger) merge(mint, maxt, lookback int64) {
	if len(m.streams) == 1 {
		s := &m.streams[0].samples
		from, _ := slices.BinarySearch(s.t, mint)
		m.out.t, m.out.v = append(m.out.t, s.t[from:]...), append(m.out.v, s.v[from:]...)
		return
	}
	for {
		now, some := m.earliest()
		if !some || now > maxt {
			return
		}
		value, has, ended, told := m.advance(now, lookback)
		if now < mint {
			continue
		}
		if !has && (!ended && !told || m.isLive(now, lookback)) {
			continue
		}
		m.out.t, m.out.v = append(m.out.t, now), append(m.out.v, value)
	}
}

// earliest is the time of the next row of any lane.
func (m *merger) earliest() (t int64, some bool) {
	for i := range m.streams {
		if s := &m.streams[i]; s.next < len(s.samples.t) && (!some || s.samples.t[s.next] < t) {
			t, some = s.samples.t[s.next], true
		}
	}
	return t, some
}

// advance takes the rows at a time: the value that counts, whether the series ended
// in a lane, and whether its end was told in one of sparse parts. Then it has ended in all of
// these.
func (m *merger) advance(now, lookback int64) (value float64, has, ended, told bool) {
	value = model.Absent()
	for i := range m.streams {
		s := &m.streams[i]
		if s.next == len(s.samples.t) || s.samples.t[s.next] != now {
			continue
		}
		v := s.samples.v[s.next]
		s.next++
		if model.IsAbsent(v) {
			ended, told = ended || s.lives(now, lookback), told || s.sparse
			s.live = false
			continue
		}
		s.live, s.last = true, now
		if !has {
			value, has = v, true
		}
	}
	for i := range m.streams {
		if s := &m.streams[i]; told && s.sparse && s.last < now {
			s.live = false
		}
	}
	return value, has, ended, told
}

// isLive tells whether the series is live in a lane.
func (m *merger) isLive(now, lookback int64) bool {
	for i := range m.streams {
		if m.streams[i].lives(now, lookback) {
			return true
		}
	}
	return false
}

// lives tells whether the last row of a lane has a value and is not too old.
func (s *stream) lives(now, lookback int64) bool { return s.live && now-s.last < lookback }
