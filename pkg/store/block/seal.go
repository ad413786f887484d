package block

import (
	"encoding/binary"
	"math"
)

// entry seals a part and appends its entry of the directory to dst.
func (w *Writer) entry(dst []byte, t *table) []byte {
	w.section.begin()
	w.gather(t)
	for i, differs := range w.differs {
		if differs == 0 {
			w.section.add(w.encoder.constant(w.rows[i], t.scales[i]), w.section.raw)
			continue
		}
		w.section.add(w.encoder.column(w.columnOf(t, i), t.scales[i], w.section.raw))
	}
	dst = append(dst, t.id[:]...)
	dst = binary.AppendUvarint(dst, uint64(t.columns()))
	dst = w.appendRuns(dst, t.pieces)
	return w.end(dst)
}

// appendRuns writes the runs of rows that a part has: 0 for all, else their
// number and for each how many rows it leaves out and how many it has. Pieces without
// rows between them are one run.
func (w *Writer) appendRuns(dst []byte, pieces []piece) []byte {
	w.spans = w.spans[:0]
	for _, p := range pieces {
		if n := len(w.spans); n > 0 && w.spans[n-1].to == p.from {
			w.spans[n-1].to = p.to
		} else {
			w.spans = append(w.spans, p.span)
		}
	}
	if w.spans[0].to-w.spans[0].from == len(w.times) {
		return binary.AppendUvarint(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(len(w.spans)))
	row := 0
	for _, s := range w.spans {
		dst = binary.AppendUvarint(dst, uint64(s.from-row))
		dst = binary.AppendUvarint(dst, uint64(s.to-s.from))
		row = s.to
	}
	return dst
}

// end ends a section and appends its sizes to dst.
func (w *Writer) end(dst []byte) []byte {
	w.section.flush()
	start := len(w.data)
	w.data = w.section.head(w.data)
	dst = binary.AppendUvarint(dst, uint64(len(w.data)-start))
	w.data = append(w.data, w.section.packed...)
	return binary.AppendUvarint(dst, uint64(len(w.section.packed)))
}

// gather collects the rows of a part in w.rows, and in w.differs which columns change
// their bits at all: most do not.
func (w *Writer) gather(t *table) {
	k := t.columns()
	first := w.values[t.pieces[0].at:][:k]
	w.rows = w.rows[:0]
	w.differs = append(w.differs[:0], make([]uint64, k)...)
	differs := w.differs[:len(first)]
	for _, p := range t.pieces {
		for at := p.at; at < p.at+(p.to-p.from)*p.stride; at += p.stride {
			row := w.values[at:][:len(first)]
			w.rows = append(w.rows, row...)
			for i, v := range row {
				differs[i] |= math.Float64bits(v) ^ math.Float64bits(first[i])
			}
		}
	}
}

// columnOf takes a column out of w.rows. It is valid until the next call.
func (w *Writer) columnOf(t *table, column int) []float64 {
	w.column = w.column[:0]
	for at := column; at < len(w.rows); at += t.columns() {
		w.column = append(w.column, w.rows[at])
	}
	return w.column
}
