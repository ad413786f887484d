package feed

import (
	"fmt"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

const (
	// StreamSeries is how many series a stream has at most. More: fewer frames when many
	// come together. Fewer: less that a query of one series must decode.
	StreamSeries = 512
	// sheetText is how many bytes of names and labels a sheet has at most: its part must fit
	// into a record.
	sheetText = frame.MaxPayload / 2
	// keyEvery is every which frame is a key frame.
	keyEvery = 120
)

// stream is a stream of the feed.
type stream struct {
	id      model.StreamID
	sheets  []*sheet
	columns int

	epoch   uint64 // of the session that knows the schema
	encoder *frame.Encoder
	row     []float64
	at      int64 // time of the row, when open
	open    bool  // the row is that of the newest frame

	commit  uint64 // for which cells are
	cells   []sample
	written uint64 // the commit of the newest frame
}

// sheet is a part. It does not change.
type sheet struct {
	series  []*series // in the order of columns
	text    int
	encoded []byte // nil before it is declared
	id      frame.PartID
	epoch   uint64 // of the session that knows it
}

// newSheet makes a sheet. Series of one name stand together.
func newSheet(of []*series) *sheet {
	sh := &sheet{}
	families := map[string]int{}
	var byFamily [][]*series
	for _, s := range of {
		name := s.labels.Get(labels.MetricName)
		i, known := families[name]
		if !known {
			i = len(byFamily)
			families[name] = i
			byFamily = append(byFamily, nil)
		}
		byFamily[i] = append(byFamily[i], s)
		sh.text += int(s.text)
	}
	for _, family := range byFamily {
		sh.series = append(sh.series, family...)
	}
	return sh
}

// encode makes the part of a sheet.
func (sh *sheet) encode(meta map[string]about) (err error) {
	if sh.encoded != nil {
		return nil
	}
	part := model.Part{Collector: model.SparseCollector}
	for _, s := range sh.series {
		name := s.labels.Get(labels.MetricName)
		n := len(part.Families)
		if n == 0 || part.Families[n-1].Name != name {
			told := meta[name]
			part.Families = append(part.Families, model.Family{Name: name, Help: told.help, Type: told.kind})
			n++
		}
		f := &part.Families[n-1]
		f.Scale = max(f.Scale, s.scale)
		f.Series = append(f.Series, s.own())
	}
	if sh.encoded, err = frame.AppendPart(nil, part); err != nil {
		return err
	}
	sh.id = frame.PartIDOf(sh.encoded)
	return nil
}

// set gives the stream other sheets.
func (st *stream) set(sheets []*sheet) {
	st.sheets, st.columns, st.epoch, st.open = sheets, 0, 0, false
	for _, sh := range sheets {
		for _, s := range sh.series {
			s.stream, s.column = st, int32(st.columns)
			st.columns++
		}
	}
	if len(sheets) == 0 {
		st.encoder, st.row, st.cells = nil, nil, nil
	}
}

// room is for how many more series there is room.
func (st *stream) room() int { return StreamSeries - st.columns }

// add puts series on new sheets of the stream.
func (st *stream) add(fresh []*series) {
	sheets := st.sheets[:len(st.sheets):len(st.sheets)]
	text := 0
	for _, s := range fresh {
		text += int(s.text)
	}
	for n := len(sheets); n > 0 && len(sheets[n-1].series) <= len(fresh) && sheets[n-1].text+text <= sheetText; n-- {
		last := sheets[n-1]
		fresh = append(last.series[:len(last.series):len(last.series)], fresh...)
		text += last.text
		sheets = sheets[: n-1 : n-1]
	}
	for len(fresh) > 0 {
		n, text := 0, 0
		for n < len(fresh) && (n == 0 || text+int(fresh[n].text) <= sheetText) {
			text += int(fresh[n].text)
			n++
		}
		sheets = append(sheets, newSheet(fresh[:n]))
		fresh = fresh[n:]
	}
	st.set(sheets)
}

// declare tells the session what the stream has.
func (f *Feed) declare(st *stream) error {
	if st.epoch == f.epoch {
		return nil
	}
	named := frame.Schema{Parts: make([]frame.PartID, len(st.sheets))}
	parts := make([]model.Part, len(st.sheets))
	for i, sh := range st.sheets {
		err := sh.encode(f.about)
		if err == nil {
			parts[i], err = frame.ParsePart(sh.encoded)
		}
		if err != nil {
			return fmt.Errorf("sheet: %w", err)
		}
		if sh.epoch != f.epoch {
			if err := f.send(frame.KindPart, 0, sh.encoded); err != nil {
				return err
			}
			sh.epoch = f.epoch
		}
		named.Parts[i] = sh.id
	}
	layout, err := frame.NewLayout(parts)
	if err != nil {
		return fmt.Errorf("sheets: %w", err)
	}
	if err := f.send(frame.KindSchema, st.id, frame.AppendSchema(nil, named)); err != nil {
		return err
	}
	st.encoder = frame.NewEncoder(layout, named.ID(), keyEvery)
	st.row, st.open, st.epoch = make([]float64, st.columns), false, f.epoch
	return nil
}
