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
// the lower rank. A series has a sample where its column is not model.Absent, and is live in a
// lane until a later row of it has no value, but not longer than Options.Lookback after the
// last value. The row that ends it is one staleness marker, unless the series is live in
// another lane then. A lane that merely stops gives no marker: lookback ends its series. An
// end row does: a row that no part has.
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
// What comes out is exact from mint to maxt, but for what no query can see: a marker is
// left out when no sample of the series precedes it; one that comes when the last
// sample is older than the lookback may be there or not.
//
// # How it is read
//
// A selection finds its lanes and groups (columns of one part in one lane) in the
// dictionary, and reads lane by lane, at the first Next, when warnings still find
// somebody who listens. The times of a lane are worked out once for all its
// series: pieces that do not overlap are read one after the other, those that do are
// surveyed first. Every piece gives each group a chunk: times, which the groups share,
// and columns. A series is a column of chunks, and its iterator leaves out the values
// that are absent, but for the first. Only series in several places are merged.
//
// What a query keeps is bounded by Options.Memory. Lanes beyond that are read to find
// damage, and each of their series once more when its turn comes.
//
// An instant query for the newest values reads no piece at all: Data.Newest tells.
package query
