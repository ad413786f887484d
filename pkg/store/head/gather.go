package head

import (
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// gathering puts the rows of sparse parts together that have one time.
type gathering struct {
	visit func(SealRow) error
	layer int

	at          model.Millis // of held
	held        []heldRow
	some        bool         // there are more layers:
	first, last model.Millis // at these times
}

// heldRow is all rows of one time and schema.
type heldRow struct {
	schema *schema
	values []float64
}

// add takes a row that is not earlier than the one before.
func (g *gathering) add(f *feed) error {
	if len(g.held) > 0 && g.at != f.at {
		if err := g.flush(); err != nil {
			return err
		}
	}
	g.at = f.at
	row := f.decoder.Row()
	for i := range g.held {
		h := &g.held[i]
		if h.schema != f.of.schema {
			continue
		}
		for k, v := range row {
			if model.IsAbsent(h.values[k]) {
				h.values[k] = v
			}
		}
		return nil
	}
	g.held = slices.Grow(g.held, 1)[:len(g.held)+1]
	h := &g.held[len(g.held)-1]
	h.schema, h.values = f.of.schema, append(h.values[:0], row...)
	return nil
}

// flush visits what is held, if it is of this layer.
func (g *gathering) flush() error {
	held := g.held
	g.held = held[:0]
	if len(held) > g.layer+1 {
		if !g.some {
			g.first = g.at
		}
		g.last, g.some = g.at, true
	}
	if len(held) <= g.layer {
		return nil
	}
	h := &held[g.layer]
	return g.visit(SealRow{At: g.at, Schema: h.schema.id, Parts: h.schema.parts, Values: h.values, Layer: g.layer})
}

// deeper turns to the next layer, if there is one.
func (g *gathering) deeper() bool {
	if !g.some {
		return false
	}
	g.layer++
	g.some = false
	return true
}

// among are the stretches that may have rows of the layer.
func (g *gathering) among(open []*stretch) (some []*stretch) {
	for _, s := range open {
		if s.first <= g.last && s.last >= g.first {
			some = append(some, s)
		}
	}
	return some
}
