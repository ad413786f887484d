// Package discovery lets workers and collectors find each other without an
// address in anybody's configuration. It promises that nothing which arrives
// on its ports ends a loop, grows the memory or makes it send more than it
// was sent twice over. Whether what it hears is true, a Judge says: packets that
// are not believed are counted by reason, and neither handed on nor answered.
// Without a Judge everything passes. Discovery never admits anybody.
//
//	Prober (collectord)     ProbeInit    -> every host of every subnet : 10300, at an interval
//	Responder (workerd)     ProbeAck     -> where the handler says, after a random delay
//	Registrar (coordinatord) RegisterAck -> where the handler says, at once, at a bounded rate
//
// The Prober sends on each interface of its own: the limited broadcast
// 255.255.255.255 would leave by one of them only. Per IPv4 address it sends
// the directed broadcast of that address's subnet, and per interface the IPv6
// link-local multicast group ff12::c10d:1e55. Loopback, bridges, veth pairs
// and tunnels are left out unless listed by name. Hosts beyond routers are
// listed as targets.
//
// The Responder spreads its answers over a time that grows with the announced
// size of the fleet, so that ten thousand workers do not answer one broadcast
// at once.
//
// A Seal signs what is sent. Verifying costs some 60 us, so an address may cause
// only so many verifications per second, and a Screen throws away at once what a
// look at its seal shows to be worthless (see door).
//
// Each engine decides by pure functions (which interfaces, which packets, how
// long to wait, how often to reply) and holds one or two sockets behind an
// interface, so that its tests run on virtual time. The packets themselves are
// those of package crm; docs/formats/discovery.md describes them.
package discovery
