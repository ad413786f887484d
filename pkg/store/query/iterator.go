package query

import (
	"slices"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// iterator gives the samples of a series. Of its values that are absent the first after a
// value is a marker, and the others are nothing.
type iterator struct {
	now    samples
	i      int
	live   bool    // the row before has a value
	chunks []chunk // that follow
	column int
	err    error

	merger merger // for series in several places
}

func (it *iterator) reset() {
	it.now, it.i, it.live, it.chunks, it.err = samples{}, -1, false, nil, nil
}

func (it *iterator) begin(chunks []chunk, column int) { it.chunks, it.column = chunks, column }

// skip passes over the rows before mint.
func (it *iterator) skip(mint int64) {
	for it.turn() {
		if n := len(it.now.t); n > 0 && it.now.t[n-1] >= mint {
			from, _ := slices.BinarySearch(it.now.t, mint)
			it.now = samples{it.now.t[from:], it.now.v[from:]}
			return
		}
	}
}

// turn goes to the next chunk.
func (it *iterator) turn() bool {
	it.i = -1
	if len(it.chunks) == 0 {
		it.now = samples{}
		return false
	}
	it.now = it.chunks[0].column(it.column)
	it.chunks = it.chunks[1:]
	return true
}

// Next implements chunkenc.Iterator.
func (it *iterator) Next() chunkenc.ValueType {
	for {
		for it.i+1 < len(it.now.v) {
			it.i++
			if !model.IsAbsent(it.now.v[it.i]) {
				it.live = true
				return chunkenc.ValFloat
			}
			if it.live {
				it.live = false
				return chunkenc.ValFloat
			}
		}
		if !it.turn() {
			return chunkenc.ValNone
		}
	}
}

// unixMillis names what Seek takes: not an offset into a file, which vet suspects of
// everything that is called Seek and takes an int64.
type unixMillis = int64

// Seek implements chunkenc.Iterator.
func (it *iterator) Seek(t unixMillis) chunkenc.ValueType {
	if it.i >= 0 && it.i < len(it.now.t) && it.now.t[it.i] >= t {
		return chunkenc.ValFloat
	}
	for {
		n := len(it.now.t)
		if n > 0 && it.now.t[n-1] >= t {
			break
		}
		if n > 0 && it.i < n-1 {
			it.live = !model.IsAbsent(it.now.v[n-1])
		}
		if !it.turn() {
			return chunkenc.ValNone
		}
	}
	from := it.i + 1
	at, _ := slices.BinarySearch(it.now.t[from:], t)
	if at += from; at > from {
		it.live = !model.IsAbsent(it.now.v[at-1])
	}
	it.i = at - 1
	return it.Next()
}

// At implements chunkenc.Iterator.
func (it *iterator) At() (int64, float64) { return it.now.t[it.i], it.now.v[it.i] }

// AtT implements chunkenc.Iterator.
func (it *iterator) AtT() int64 { return it.now.t[it.i] }

// AtST implements chunkenc.Iterator: nobody knows.
func (it *iterator) AtST() int64 { return 0 }

// AtHistogram implements chunkenc.Iterator: there are none.
func (it *iterator) AtHistogram(h *histogram.Histogram) (int64, *histogram.Histogram) {
	return it.AtT(), h
}

// AtFloatHistogram implements chunkenc.Iterator: there are none.
func (it *iterator) AtFloatHistogram(h *histogram.FloatHistogram) (int64, *histogram.FloatHistogram) {
	return it.AtT(), h
}

// Err implements chunkenc.Iterator.
func (it *iterator) Err() error { return it.err }
