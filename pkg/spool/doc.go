// Package spool keeps a worker's records on its disk until the collector has them. It
// promises:
//
//   - A frame that Append has taken outlives the end of the process, however it comes.
//     A power cut takes at most what came within Config.SyncInterval.
//   - What the spool gives can be decoded: definitions and key frames come before what
//     needs them.
//   - What it had to drop, or cannot read back, is told to the sample by gap events
//     (package event), each loss once. What it has, it gives.
//   - A disk that is full or broken stops nothing: the spool goes on in memory, within
//     bounds, and goes back by itself.
//
// # On disk
//
//	spool/records/      log (package durable) of frames and events, as they go over the wire
//	spool/definitions/  log of parts and schemas, and where each was given a number
//	spool/cursor        what was acknowledged, written now and then
//
// docs/formats/spool.md draws the bytes.
//
// # Boots, numbers, stretches
//
// Each process of the worker is a boot, which numbers its records 1, 2, 3, ... Records
// of former boots stay until they are delivered. What the collector does not have of
// one boot falls into stretches; the stream (package stream) delivers the live one, to
// which records still come, and besides it the others, one at a time:
//
//	boot 7   1 ######------#### 900                   # acknowledged
//	boot 8   1 ----- 120                              - a stretch of the backlog
//	boot 9   1 #####-----####====== 4711              = the live stretch
//
// Acknowledgements are kept as intervals of numbers for each boot, and not as indexes of
// the log, which come again after a power cut.
//
// Parts and schemas have numbers of their boot like all records, and are delivered in
// their place. They are in memory, each once, and their log is compacted, so dropping
// old records takes nothing that newer ones need.
//
// # Losses
//
// Old records go with a segment of the log, or by their age. What of them was not
// acknowledged is counted; frames behind whose key frame goes are lost with it. The gap
// events that tell so are on disk before anything is removed, and name every record that
// they count, so a process that is killed in between neither forgets nor counts twice. A
// gap event that has to be dropped itself is told again.
//
// Each entry of the log says how many frames and values its boot had made up to it. So
// the number of samples is known also of what cannot be read.
//
// A frame that was acknowledged, the acknowledgement being lost on the way, may be
// counted as lost later: the event names the numbers, and who has stored them can tell.
//
// # Goroutines and locks
//
// Spool.writer is held by whoever appends or maintains, also while the disk is at work;
// Spool.mu for moments only, and after writer. Readers hold neither while they read. Run
// is the only loop; it is the caller's goroutine.
package spool
