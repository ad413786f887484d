// Package fleettest runs the daemons as a fleet. It holds tests and their
// harness only.
//
// Tests with an inProcess have all daemons in the process of the test, on
// loopback, and need nothing. Those with a fleet take the real binaries: every
// host is a network namespace with its own host name and machine id, all of them
// hang on a bridge in a namespace of its own, and nothing of it touches the
// machine's network, folders or sockets. That needs root; without it they are
// skipped and say so.
//
// In either, machines come into the fleet by the way that they take everywhere:
// coordinatord makes the fleet, collectord gets its certificate over the unix
// socket, and workerd has a join token and the address of nobody.
package fleettest
