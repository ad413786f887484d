// Package coordinator is coordinatord: it wires the port that hears the
// workers' ProbeAck (package discovery) and the control API (package api) to
// the registry of all workers. It decides nothing itself.
package coordinator
