// Package rollup keeps of every minute and of every hour what queries over long ranges
// need of it, and gives it back so that PromQL's answers stay the same, bit by bit.
//
// The rows of a lane with b - width < time <= b are a bucket, where b is a multiple of the
// tier's width: a window of PromQL that ends at a step is then made of whole buckets. Of each
// column a bucket keeps count, min, max, sum, first, last, and what resets took away; and when
// its first and last sample were, and when it ended, where that does not follow from the lane.
//
//	Builder   rows of a lane          -> a rollup, which is a block.Block (docs/formats/rollup.md)
//	Merger    rollups of a lane       -> one rollup, of the same or of a wider tier
//	Reader    a rollup                -> the Buckets of a column
//	Fold      raw samples of a series -> Buckets, for times that no rollup has yet
//	Compact   Buckets out of several rollups of a lane -> one for each end
//	Join      Buckets of two lanes    -> those of the series
//	Choose    the hints of a selector -> a Plan, if a tier gives what raw samples give
//	Emitter   Buckets and a Plan      -> samples for the engine
//
// Choose must know more of a query than the hints say: see Asked. Nothing that is not the same
// is passed off as the same: Choose, Compact, Join and Emit each report when raw samples must
// be taken. When there are none left, UseOf tells which use comes closest.
//
// The package is pure: no clock, no goroutine, no I/O. No block makes a reader panic, or
// allocate beyond what its limits allow.
package rollup
