// Package logkey names the attributes that log records share, so that one
// thing is called the same in every part of every daemon. It imports nothing:
// engines use it without taking the rest of package daemon along.
package logkey

// The shared attribute keys. In the journal they appear in upper case.
const (
	Component = "component" // which part speaks; set once, at construction
	Err       = "err"       // an error value
	Reason    = "reason"    // one of a closed set: why something was refused
	Worker    = "worker"    // model.WorkerID
	Boot      = "boot"      // model.BootID
	Instance  = "instance"  // a worker's sticky name
	Addr      = "addr"      // address of a peer
	Listen    = "listen"    // address of our own socket
	Interface = "interface" // network interface
	Path      = "path"      // file or folder
	Collector = "collector" // sampler's collector
	Stream    = "stream"    // model.StreamID
	Seq       = "seq"       // sequence number of a record
	Count     = "count"     // how many
	Bytes     = "bytes"     // a size in bytes
	Duration  = "duration"  // how long it took
	State     = "state"     // state after a change
	Was       = "was"       // state before a change
	Version   = "version"   // version of a program or protocol
	Key       = "key"       // configuration key
	Keys      = "keys"      // several configuration keys
	Step      = "step"      // step of a teardown
	Signal    = "signal"    // signal received
	// Suppressed counts the repeats that the rate limit left out.
	Suppressed = "suppressed"
)
