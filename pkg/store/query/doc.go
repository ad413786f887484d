// Package query answers storage.Queryable from frames: it finds series in a
// schemas.Dictionary, reads their columns out of pieces, and gives them back as
// Prometheus wants them.
//
// A piece is what is read at once: an open key group of the journal, or a sealed
// block. Whoever keeps rows implements Data; Sealed makes a piece of a block.
//
// # Meaning of the rows
//
// A lane is one stream of one source. Its rows, sorted by time, are its timeline; of
// rows with equal time the one stored first counts, which is the one whose piece has
// the lower rank. A series has a sample where its column is not model.Absent. At the
// first later row of the lane in which it is absent, or not in the schema, it gets one
// staleness marker, unless it is live in another lane: the last row of that lane at or
// before that time has a value for it, and is not older than Options.Lookback. A lane
// that merely stops gives no marker: lookback ends its series. An end row does: a row
// that no part has.
//
// Lanes with the same series are merged by time. Of equal times any value wins over a
// marker, and of two values that of the lower stream number (of several workers with
// equal labels: of the lower source number).
//
// Sparse parts (model.SparseCollector) are otherwise: a column that is absent means that
// the row has no sample of the series, nothing more. Rows of one time are one row: of each
// column the value counts that was stored first. The series ends where it has the value
// model.Ended; neither leaving the schema nor an end row ends it.
//
// What comes out is exact from mint to maxt, but for one thing that no query can see:
// a marker is left out when no sample of the series precedes it, or another marker does.
package query
