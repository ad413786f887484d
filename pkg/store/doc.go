// Package store keeps what workers measured: frames in, PromQL out.
//
// A frame enters whole, through the Session of its worker, and stays as it came until
// many of them are sealed into columns:
//
//	stream --> Session.Append --> head: seen before? decode --> journal (disk)
//	                                     |                         |
//	               Live, Newest <--- newest rows                   | every <= 200 ms: fsync
//	                                                               v
//	stream <-- Session.Durable <-----------------------------------+
//	                                                               |
//	                        a pass: rows -> columns --> volume (disk), journal dropped
//
//	Queryable --> schemas: which series, where --> query: pieces of the head and of volumes
//
// # What is promised
//
//   - Durable: a sequence number that Session.Durable reports is on disk, with
//     every record before it: after a kill or a power cut the samples are there.
//   - Once: a record is stored once, however often, on however many connections and in
//     whatever order it is delivered.
//   - Accounted for: what is not stored for good is in the Ledger, with its cause.
//   - Late: a frame is taken at any time within the retention, and shows up at its place.
//   - Ends are visible: a column that turns absent, a series that leaves its
//     schema and a worker that is gone (MarkStale) get one staleness marker.
//   - Bounded: series per worker, new series per hour, streams, names, frames from
//     the future and free disk space have limits; what is beyond is refused with
//     a Refusal that names its cause, and counted.
//   - When the disk is full or fails, new data is refused for the time being (workers keep
//     it), queries go on, and everything goes on by itself when it is well again.
//   - Damage is found by checksums, costs what it hit and is reported with file and offset.
//
// # On disk
//
//	lock       held while the store is open
//	journal/   what was accepted and is not sealed: package journal
//	schemas/   names and labels of series, and when streams had them: package schemas
//	volumes/   sealed rows and rollups: packages volume, block, rollup
//	gaps/      the ledger of what is missing: package ledger
//	snapshots/ what Snapshot has made by name, unless Config.Snapshots says where: package snapshot
//
// docs/formats has a page for each.
package store
