// Package coverage tells which sequence numbers of a worker's boot the collector has:
// a set of numbers from 1 on, kept as the intervals that they make.
//
// Records come in order nearly always, so there is one interval, or one and another
// for what was delivered late; adding the next number to the last interval costs a
// few nanoseconds. What a stranger sends must not make memory grow: a set takes
// no more than MaxIntervals, and says so instead of taking another.
//
// The package is pure. A Set is for one goroutine at a time.
package coverage
