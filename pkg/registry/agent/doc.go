// Package agent decides a worker's own side of its registration: whom it asks, how
// long it waits, when it gives up and when it changes over to another collector.
//
//	Next(agent, event, now)
//
// is pure: it is given the time and never asks for it. The package keeps nothing
// and links nothing, so that a worker does not carry the coordinator's registry.
package agent
