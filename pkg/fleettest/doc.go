// Package fleettest runs the daemons as a fleet. It holds tests and their
// harness only.
//
// TestOneProcess has all three in the process of the test, on loopback, and
// needs nothing. The others take the real binaries: every host is a network
// namespace with its own host name, all of them hang on a bridge in a namespace
// of its own, and nothing of it touches the machine's network. That needs root;
// without it they are skipped and say so.
package fleettest
