// Package sampler measures the host, all series in one round, and turns each
// round into a frame.
//
// # What it promises
//
//   - A round has one timestamp, and every value in its frame was read in it.
//   - Names, labels, types, help and values are those of node_exporter; the
//     differences and their reasons are listed in docs/metrics.md.
//   - What the host does not have contributes nothing and is no error. What
//     cannot be read is an error counted for its collector; its columns hold
//     model.Absent in that round. Neither stops the round.
//   - A hung mount freezes its own columns. Nothing piles up behind it.
//   - A round in which no device came or went allocates nothing in the
//     collectors of the hot set.
//
// # How it works
//
// The table in table.go lists the collectors in the order of their columns. A
// collector is one file: it reads the kernel through package kernel and fills a
// sheet, that is, the description of its series and their values. It describes
// its series anew only when they change. The sampler joins the sheets to a row;
// when a description changed, it makes a new schema.
//
//	collector -> sheet ┐
//	collector -> sheet ┼ row ----------------------> encoder -> frame  ┐
//	collector -> sheet ┘ parts -> schema (if new) -> part, schema      ┴-> Output
//
// All collectors run on the goroutine of Run, one after the other; what may
// block (statfs) runs in a bounded pool that the round waits for a limited time.
package sampler
