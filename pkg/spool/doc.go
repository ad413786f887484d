// Package spool keeps a worker's records until the collector has them: a log
// of bounded size and age with an acknowledged cursor. It promises that what it
// still holds can be decoded, and that what it had to drop is counted.
//
// The log lives in memory; the sequence numbers therefore begin again with every
// start of the worker, under a new boot id.
//
// # Groups
//
// A delta frame is worth nothing without its key frame, so the unit that is kept
// or dropped is the group: a key frame of a stream and the delta frames up to the
// stream's next key frame. The newest group of a stream is open. Groups of several
// streams interleave in the log:
//
//	seq     1   2   3    4    5    6    7    8    9    10
//	record  P   S1  K1   S2   K2   d1   d2   K1   d2   d1
//	group           a         b    a    b    c    b    c      a closed; b, c open
//
// so dropping one leaves holes in the sequence. Parts (P) and schemas (S) are
// definitions: they stay as long as a group that is still there, or the next
// frame of a stream, needs them.
//
// # What leaves, and when
//
//   - Acknowledged closed groups and events leave at once. Acknowledged open groups
//     stay: a collector that forgot its decoder's state is told by Context what
//     comes before the next record.
//   - When the log is larger than MaxBytes: first parts that nothing refers to, then
//     closed groups, oldest first, then open groups, oldest first. Delta frames
//     that follow a dropped open group are dropped with it (ErrKeyNeeded).
//   - When definitions fill half of MaxBytes: parts that nothing refers to, then
//     groups whose schema their stream has left.
//   - Closed groups whose newest record is older than MaxAge, at each Append.
package spool
