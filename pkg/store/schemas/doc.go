// Package schemas knows what every frame of the fleet contains: the dictionary of
// parts, which parts each stream of each worker had at what time, and an index
// that finds series by their labels. It is a memory engine without I/O, clock or
// goroutine; a log outside makes it durable (see Records).
//
// # The idea
//
// Hosts of one kind have the same parts, so nothing here is kept per series:
//
//	metric name -> headings (name, help, type, scale) -> parts
//	label name  -> value                              -> lists of label sets -> parts
//	part        -> schemas -> spans (source, stream, from, to)
//	host label  -> value   -> hosts
//
// A part is a list of families, a family a heading and a list of label sets.
// Texts, label sets, lists and headings are kept once, whoever has them: the twenty
// families of the netdev part share one list of devices, and when a device comes,
// the new part shares all label sets but one with the old.
//
// A matcher is evaluated on a value once for all hosts, label sets are tested
// once for each list, and what comes out for a part holds for every host that
// has it. Labels of hosts (instance, job and what the operator gave) never meet
// those of parts: they are sets of hosts.
//
// # What is exact, and what is not
//
// Labels are: a selection has exactly the series that Prometheus would select, with
// its rules for absent labels and anchored expressions. Time is coarse: a span is
// the time from the first to the last frame of a schema in a stream, with pauses
// up to Config.Pause within it. A selection tells where to look, and what is found
// there may be nothing.
//
// # Locks
//
// All methods may be called at any time by any goroutine. Changes are serialised
// by one mutex that readers never take. What readers share with them is guarded by an RWMutex that
// both hold for moments only: every list of the index only grows at its end, or is
// replaced, so a reader takes the slice under the lock and walks it without. Copy-on-write of
// the whole was the alternative: it needs persistent maps, and copies thousands of
// entries for each host that is added. Regular expressions, which may run for
// long, are never evaluated under a lock. A selection under way may or may not
// see what is added meanwhile. Frames of a known span take no lock at all.
//
// # Records
//
// Whatever adds something returns the record that a log must hold before
// anything that builds on it; Load takes records back, in the same order or with
// repetitions. Bounds gives the records of spans that have grown, Snapshot those
// of everything, for a fresh log. docs/formats/schemas.md draws the bytes.
package schemas
