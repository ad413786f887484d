package block

import (
	"encoding/binary"
	"math"
)

// entry seals a part and appends its entry of the directory to dst.
func (w *Writer) entry(dst []byte, t *table) []byte {
	w.section.begin()
	w.differences(t)
	for i, differs := range w.differs {
		if differs == 0 {
			w.section.add(w.encoder.constant(t.values[i], t.scales[i]), w.section.raw)
			continue
		}
		w.section.add(w.encoder.column(w.gather(t, i), t.scales[i], w.section.raw))
	}
	dst = append(dst, t.id[:]...)
	dst = binary.AppendUvarint(dst, uint64(t.columns()))
	dst = w.appendSpans(dst, t.spans)
	return w.end(dst)
}

// appendSpans writes the runs of rows that a part has: 0 for all, else their
// number and for each how many rows it leaves out and how many it has.
func (w *Writer) appendSpans(dst []byte, spans []span) []byte {
	if spans[0].to-spans[0].from == len(w.times) {
		return binary.AppendUvarint(dst, 0)
	}
	dst = binary.AppendUvarint(dst, uint64(len(spans)))
	row := 0
	for _, s := range spans {
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

// differences finds the columns whose bits change at all: most do not.
func (w *Writer) differences(t *table) {
	k := t.columns()
	first := t.values[:k]
	w.differs = append(w.differs[:0], make([]uint64, k)...)
	differs := w.differs[:len(first)]
	for at := k; at < len(t.values); at += k {
		row := t.values[at:][:len(first)]
		for i, v := range row {
			differs[i] |= math.Float64bits(v) ^ math.Float64bits(first[i])
		}
	}
}

// gather returns a column of the table, which is valid until the next call.
func (w *Writer) gather(t *table, column int) []float64 {
	w.column = w.column[:0]
	k := t.columns()
	for at := column; at < len(t.values); at += k {
		w.column = append(w.column, t.values[at])
	}
	return w.column
}
