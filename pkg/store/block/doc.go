// Package block seals a stretch of frames into columns, and reads them back.
//
// A block holds the frames of one stream of one worker, in the order of their
// times, which rise strictly. The values of a column stand together, the columns of a
// part stand together, and what is read of one part touches no byte of another. Every
// value comes back bit by bit: NaN payloads, -0 and model.Absent included.
//
// One stream, because all its columns share one column of times, and because streams
// begin, end and are late each on their own. The frames of many workers
// are kept together a floor above, where blocks are put into files.
//
// The package is pure: bytes in, bytes out; no clock, no goroutine, no I/O. No input
// makes it panic, or allocate more than a constant beyond what its length justifies.
//
// # Bytes
//
// Everything is little-endian. Numbers are varints of encoding/binary, signed ones
// zig-zagged. docs/formats/block.md says the same at greater length, with an example.
//
//	block      header | directory | CRC-32C of both | section ...
//	header     "clbk" | version 01 | end of directory, 4 bytes | size, 4 bytes
//	directory  worker, 16 bytes | stream | rows | signed first time | last - first
//	           | sizes of times | parts | part ...
//	part       id, 16 bytes | columns | runs | (rows left out | rows) ... | sizes
//	sizes      bytes of head | bytes of groups
//
// Parts are sorted by id; runs are 0 when a part has every row. The sections follow
// without gaps in the same order, that of the times first.
//
//	section    head | group ...
//	head       groups | (columns | raw size | stored size | CRC-32C) ... | column ... | CRC-32C
//
// A group is the bytes of the next columns that have any, as a zstd frame, or raw when
// that is not smaller. It ends with the column that fills 128 KiB.
//
// # Columns
//
// Values are counted in units of the column's decimal scale, in the one of three ways
// (units.go) that gives them back exactly; what it does not give back is an odd value. The
// units are reduced by their first and by the greatest common divisor of their differences, and
// become words in the way that takes the fewest bits:
//
//	offsets      the value less the lowest             gauges around a mean, bitmaps
//	slopes       its difference less the smallest one  counters
//	deltas       its difference, zig-zagged            gauges that walk
//	deltaDeltas  the difference of those, zig-zagged   rates that last
//	xored        bits XOR the bits before              what has no scale
//
// Columns that never change have no words, and are two thirds of all. Words are laid down
// as planes, one byte of all words after the other; what is zero in nearly all words is
// a list instead. Odd values are another list.
//
// # Summaries
//
// The head tells count, first, last, lowest, highest, sum and whether a counter was
// reset, for 8 bytes a column that moves; it is read without unpacking a group.
package block
