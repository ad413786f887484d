// Package head is the part of the store that is in memory: what is between the records
// of a session and the journal, and what queries and passes need of the rows that are
// in no volume yet.
//
//	session --> Append --> coverage: had it before?  --> decoder --> journal
//	                                                        |           |
//	             Live, Newest <------- newest row <---------+           | index, time
//	                                                                    v
//	             Pieces, passes <------------------------------- open groups of the lane
//
// # Terms
//
// A lane is one stream of one source, which is a worker under one set of host labels. It
// outlives sessions. A track is one stream of one session, with the decoder that
// follows it: live and backfill sessions of a worker feed the same lanes at the same
// time. A group is what a reader decodes at once: a key frame, or a base, and the frames
// that follow by delta coding, their times strictly rising. A lane keeps of each open row
// where it is in the journal and its time, in three or four bytes; the values are read
// from the journal. A pass moves what is open into a volume.
//
// # What is promised
//
//   - Once: a sequence number of a boot is stored once, however often, on however many
//     sessions and in whatever order its record comes. What was stored before is decoded
//     and not stored, so that the frames behind it fit.
//   - In the journal before it is counted: Session.Applied speaks of records that are in
//     the journal, or refused for good and in the ledger. They are durable when the
//     journal was synced after that, the log of the schemas before it.
//   - Every frame in the journal can be read: a delta frame whose predecessor is not in
//     front of it gets a base, the state of the decoder before it.
//   - A record that cannot be stored is refused with its cause. Where that is for good, it
//     counts as received, and the ledger is told.
//   - Bounded: series, new series, streams, lanes, boots, stretches of a boot, workers.
//   - The state after a replay of the journal, or of any beginning of it, is the one
//     that there was when it was written.
//
// # Locks
//
// Head.mu (the maps) and worker.mu are never taken while lane.mu is held. worker.mu is held
// while a record of that worker is taken, which writes to the journal; lane.mu and
// Head.mu for moments, never across the journal or the ledger, but for one exception: the
// newest row after a replay is read from the journal with lane.mu held, once. Order:
// worker.mu, definitions.mu, Head.mu, lane.mu.
//
// The package starts no goroutine. Nothing is allocated for a frame.
package head
