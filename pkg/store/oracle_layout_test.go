package store_test

import (
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// layout is what a stream measures: a schema, and its columns one by one.
type layout struct {
	id      frame.SchemaID
	schema  []byte
	parts   []frame.PartID
	encoded [][]byte // parts
	frame   *frame.Layout
	columns []column
}

// column is one series of a host.
type column struct {
	name   string
	labels model.Labels
	scale  uint8
	kind   model.MetricType
	key    string // unique among all series of a host
}

// layouts makes each layout once. Not safe for concurrent use.
type layouts map[frame.SchemaID]*layout

func (all layouts) of(tb testing.TB, parts ...model.Part) *layout {
	tb.Helper()
	l := &layout{}
	var named frame.Schema
	for _, p := range parts {
		encoded, err := frame.AppendPart(nil, p)
		if err != nil {
			tb.Fatal(err)
		}
		l.encoded = append(l.encoded, encoded)
		named.Parts = append(named.Parts, frame.PartIDOf(encoded))
	}
	l.parts, l.id = named.Parts, named.ID()
	if known := all[l.id]; known != nil {
		return known
	}
	l.schema = frame.AppendSchema(nil, named)
	var err error
	if l.frame, err = frame.NewLayout(parts); err != nil {
		tb.Fatal(err)
	}
	for _, p := range parts {
		for _, f := range p.Families {
			for _, own := range f.Series {
				c := column{name: f.Name, labels: own, scale: f.Scale, kind: f.Type, key: f.Name}
				for _, label := range own {
					c.key += "\xff" + label.Name + "\xff" + label.Value
				}
				l.columns = append(l.columns, c)
			}
		}
	}
	all[l.id] = l
	return l
}
