// Package fleettest runs the real binaries as a real fleet: every host is a
// network namespace with its own host name, all of them hang on a bridge in a
// namespace of its own, and nothing of it touches the machine's network. It
// holds tests and their harness only. The tests need root; without it they
// are skipped and say so.
package fleettest
