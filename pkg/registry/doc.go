// Package registry decides who belongs to the fleet and who is still there.
//
// It promises four things. A worker that was admitted keeps its id, its history
// and its instance name through renaming, re-addressing and restarts of either
// side. A worker that falls silent for half its lease is suspect and for its
// whole lease expired, exactly once, to the millisecond of a timer and without
// ever looking at the workers that are well. A worker that is refused learns
// how many attempts it has left. Nothing that a stranger sends grows memory or
// disk beyond fixed bounds.
//
// How it works. Every decision is taken by a pure function, which is given the
// time and never asks for it:
//
//	Next(worker, event, now, policy)    the coordinator's view of one worker
//
// The other side, a worker's view of its own registration, is package agent below.
//
// Registry is the coordinator's engine around Next: a map of workers under one
// mutex, a heap of deadlines, a bbolt file and a feed of changes. Renewing a
// lease writes two times into the worker and nothing else: the worker's timer
// stays where it is, and when it fires too early it is set anew. So a renewal
// costs a map look-up, and every lease is touched about once per period.
//
// The coordinator's states:
//
//	           admit
//	probed ------------> registered <-----------------------+
//	   |  \  hold           |   ^ contact                   | ProbeAck admitted
//	   |   +-> pending      v   |                           | (from expired also
//	   |        (admit: ->) suspect (silent for half)       |  a contact)
//	   v                    |                               |
//	dropped after an hour   v                               |
//	of silence           expired (silent for all) ----------+
//	                                                        |
//	            goodbye of any admitted state: left --------+
//
// Time. Leases are counted on the monotonic clock: time.Now carries its
// reading, and all that is loaded from disk is anchored to it. A worker's clock
// is never used. See docs/formats/registry.md for what the file holds.
package registry
