// Package store keeps what workers measured: frames in, PromQL out.
//
// A frame enters whole, through the Session of its worker, and is stored as the
// samples of its columns under the worker's labels. What lies behind is for now
// the time series database of Prometheus; nothing outside this package may
// notice when it is replaced.
//
//	stream --> Session.Append --> decoder (newest row) --> tsdb head + WAL
//	                                    |                      |
//	             Live, Newest <---------+      every <= 200 ms: fsync WAL, then
//	                                           resume point and parts -> index
//	                                                  |
//	stream <-- Session.Durable <----------------------+
//
// # What is promised
//
//   - Durable: a sequence number that Session.Durable reports is on disk, with
//     every record before it: after a kill or a power cut the samples are there,
//     and Resume of the next session is not beyond what is.
//   - Once: a record is stored once, however often and in whatever order it is
//     delivered. (After a crash the last fraction of a second may be appended
//     again; the database recognises samples it has.)
//   - Ends are visible: a column that turns absent, a series that leaves its
//     schema and a worker that is gone (MarkStale) get one staleness marker, so
//     a query sees them end at once.
//   - Bounded: series per worker, new series per hour, streams, parts, frames from
//     the future and free disk space have limits; what is beyond is refused with
//     a Refusal that names its cause, and counted.
//
// # What is not stored
//
// A frame older than the out-of-order window (or the retention), or whose
// predecessor is missing, is counted and left out; the stream goes on. Frames
// more than an hour ahead of the collector's clock, damaged frames and frames
// of a refused schema are reported as a skipping Refusal: see Refusal.Skipped.
// Events are accepted, made durable in the sense of the sequence, and counted.
//
// # On disk
//
//	lock        held while the store is open
//	index.bolt  resume points, parts and label sets of workers (see index.go)
//	closed      there after a tidy end; without it the start repairs (see mend.go)
//	tsdb/       the database: WAL, out-of-order WBL, head chunks, blocks
package store
