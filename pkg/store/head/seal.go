package head

import (
	"math"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// SealLane is what a pass has to seal of a lane.
type SealLane struct {
	Source      *schemas.Source
	Stream      model.StreamID
	First, Last model.Millis // of all rows
	Count       int          // of rows, those of equal time included

	head   *Head
	viewer Viewer
	open   []*stretch // by first, then by start
}

func (l *SealLane) add(s *stretch) {
	if s.rows == 0 {
		return
	}
	if len(l.open) == 0 {
		l.First, l.Last = s.first, s.last
	}
	l.First, l.Last = min(l.First, s.first), max(l.Last, s.last)
	l.Count += int(s.rows)
	l.open = append(l.open, s)
}

// SealRow is one row of a lane.
type SealRow struct {
	At model.Millis
	// End says that all series of the lane ended: there is nothing else.
	End    bool
	Schema frame.SchemaID
	// Parts lay out Values, one after the other. They are the same slice from row to
	// row as long as the schema is.
	Parts []*schemas.Part
	// Values are valid until the next row, and must not be changed.
	Values []float64
	// Layer is 0. But rows of sparse parts may have one time and different schemas: each
	// after the first of them is in a layer of its own, whose rows come when all of the
	// layer before have come, by their times again.
	Layer int
}

// Rows visits the rows of the lane in the order of their times, which rise strictly: of
// rows with equal time it is the one stored first, and of sparse parts all of them together.
// It can be called again. damaged is told of what cannot be read, which costs the rest of
// its group; if it is nil, that is the error of Rows. It ends with the first error of visit.
func (l *SealLane) Rows(visit func(SealRow) error, damaged func(error)) error {
	g := gathering{visit: visit}
	if err := l.rows(&g, l.open, damaged); err != nil {
		return err
	}
	if damaged != nil {
		damaged = func(error) {} // it has been told
	}
	for g.deeper() {
		if err := l.rows(&g, g.among(l.open), damaged); err != nil {
			return err
		}
	}
	return nil
}

// rows visits the rows of some stretches.
func (l *SealLane) rows(g *gathering, open []*stretch, damaged func(error)) error {
	m := merge{lane: l, pending: open}
	before, any := model.Millis(0), false
	for {
		f, err := m.next()
		switch {
		case err != nil && damaged == nil:
			return err
		case err != nil:
			damaged(err)
			continue
		case f == nil:
			return g.flush()
		case f.decoder != nil && f.of.schema.sparse:
			if err := g.add(f); err != nil {
				return err
			}
			before, any = f.at, true
			continue
		case any && f.at <= before || g.layer > 0:
			continue // another of the same time was stored first
		}
		before, any = f.at, true
		if err := g.flush(); err != nil {
			return err
		}
		row := SealRow{At: f.at, End: f.decoder == nil}
		if !row.End {
			row.Schema, row.Parts, row.Values = f.of.schema.id, f.of.schema.parts, f.decoder.Row()
		}
		if err := g.visit(row); err != nil {
			return err
		}
	}
}

// merge goes over the rows of several stretches by time.
type merge struct {
	lane    *SealLane
	pending []*stretch // not yet reached
	feeds   []*feed    // reached; nearly always one
	last    *feed      // whose row was given
	spare   []*feed    // with decoders that can be used again
}

// feed is a stretch under way, at a row.
type feed struct {
	of      *stretch
	rows    rows
	at      model.Millis
	decoder *frame.Decoder // nil: an end row
	schema  *schema        // of the decoder
}

// next returns the feed whose row comes next, nil at the end. After an error it goes on.
func (m *merge) next() (*feed, error) {
	if f := m.last; f != nil {
		m.last = nil
		if err := m.advance(f); err != nil {
			return nil, err
		}
	}
	for len(m.pending) > 0 && (len(m.feeds) == 0 || m.pending[0].first <= m.earliest().at) {
		s := m.pending[0]
		m.pending = m.pending[1:]
		if err := m.open(s); err != nil {
			return nil, err
		}
	}
	m.last = m.earliest()
	return m.last, nil
}

// earliest is the feed with the earliest row, of several the one stored first; nil if
// there is none.
func (m *merge) earliest() (first *feed) {
	at := model.Millis(math.MaxInt64)
	for _, f := range m.feeds {
		if first == nil || f.at < at || f.at == at && f.of.start < first.of.start {
			first, at = f, f.at
		}
	}
	return first
}

// open brings a stretch to its first row.
func (m *merge) open(s *stretch) error {
	f := m.feedOf(s.schema)
	f.of, f.rows = s, rows{viewer: m.lane.viewer, cursor: s.cursor()}
	if s.schema != nil && f.decoder == nil {
		layout, err := s.schema.layout(m.lane.head.deps.Dictionary)
		if err != nil {
			return err
		}
		f.decoder, f.schema = frame.NewDecoder(layout, s.schema.id), s.schema
	}
	m.feeds = append(m.feeds, f)
	if f.decoder != nil {
		if err := f.rows.begin(f.decoder); err != nil {
			m.drop(f)
			return err
		}
	}
	return m.advance(f)
}

// feedOf returns a feed for a schema, with a decoder if one is to spare.
func (m *merge) feedOf(s *schema) *feed {
	for i, f := range m.spare {
		if f.schema == s {
			m.spare = append(m.spare[:i], m.spare[i+1:]...)
			return f
		}
	}
	return &feed{}
}

// advance goes to the next row of a feed, or drops it at its end.
func (m *merge) advance(f *feed) error {
	if f.decoder == nil {
		if !f.rows.cursor.next() {
			m.drop(f)
		}
		f.at = f.of.first
		return nil
	}
	payload, err := f.rows.next()
	if err == nil && payload != nil {
		if err = f.decoder.Decode(payload); err != nil {
			err = f.rows.damage(err)
		}
	}
	if err != nil || payload == nil {
		m.drop(f)
		return err
	}
	f.at = model.Millis(f.rows.cursor.time)
	return nil
}

func (m *merge) drop(f *feed) {
	for i, g := range m.feeds {
		if g == f {
			m.feeds = append(m.feeds[:i], m.feeds[i+1:]...)
			break
		}
	}
	if len(m.spare) < 4 {
		m.spare = append(m.spare, f)
	}
}
