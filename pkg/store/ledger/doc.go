// Package ledger keeps the collector's book of what is missing: every stretch of
// every worker of which no samples are stored, with its cause.
//
// It promises:
//
//   - What Sync covered is there after a crash or a power cut, once.
//   - A record of a worker counts once, however often it is delivered: what is
//     noted bears the worker, the boot and the sequence number that it came by.
//   - The frames and samples of all entries of a cause together are exact, also
//     after entries were merged to save room.
//   - It stays within its bounds, whatever workers do, in memory and on disk.
//   - Damage is reported with file and offset and costs the entries that it hit.
//
// # What is in it
//
// An entry comes from one of two sides. Workers report gaps by events of their
// streams (Add): the host was off, the spool was full. And the collector notes
// frames that it does not take (Refused): refusals of one cause that follow each
// other are one entry.
//
// # The order of syncs
//
// Sync must have returned before anything makes lasting, or may make lasting, that
// the record was received: a worker that is told so never sends it again. The
// other way round, what is noted and comes again is recognised. So a store
// syncs the ledger first, then its journal, and keeps what it has of the journal in
// memory until then: what a process has written may last although it was not
// synced, and what it had in memory is lost with it.
//
// # Bounds
//
// When a worker has too many entries the oldest ones become one for each cause,
// which Entry.Earlier marks; the sums stay right. When all workers together have
// too many, those with most of them pay. Records whose entries were merged, or
// are older than the retention, are not recognised any more: by then they are long
// covered elsewhere. That is why an entry among the older half of its worker's does
// not grow.
//
// # How it works
//
// Everything is in memory and in one durable.Log, in a folder of its own.
// Entries have numbers that rise. A log record is a report, more refusals for an
// entry, an entry of refusals as it stands, or the sums of a worker with the
// number up to which its entries are in them. So nothing ever has to be crossed
// out: read in order, the log gives the state, from any segment on, when what is
// there was written once more behind. That is how it is made shorter.
// docs/formats/gaps.md draws the bytes.
//
// # Locks
//
// All methods may be called at any time by any goroutine. Add and Refused only
// touch memory. Sync and Tend are at the disk one at a time and hold the
// state's mutex for moments.
package ledger
