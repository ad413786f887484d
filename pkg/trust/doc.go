// Package trust says who is who in a fleet: it promises that a peer whose
// Identity it returns holds a private key for which this fleet's certificate
// authority has signed exactly that identity, and nothing about anybody else.
//
// A fleet has one Ed25519 authority (CA). Every certificate that it issues
// carries one identity as a URI in its subject alternative names:
//
//	cloudless://FLEET/ROLE/NAME
//	cloudless://lab/worker/78f6ac6d-ec8d-44cf-abc8-584e4255e9d3
//	cloudless://lab/collectord/monitor-1
//
// and the authority's own certificate carries cloudless://FLEET, so that the
// fleet is known from the CA file alone. Two authorities of one fleet may stand
// in one CA file while the fleet moves from the old to the new one.
//
// # How a client knows its server
//
// Collectors are found at run time and move between addresses, so a host name
// says nothing. Instead each server certificate also carries a fixed DNS name
// made of role and fleet, collectord.lab.cloudless.internal, and a client asks
// for exactly that name (Credentials.Client). The TLS library's own, complete
// verification therefore stays switched on: chain, dates, key usage, name. The
// other way, InsecureSkipVerify with a hand-written verification, is one
// forgotten line away from accepting everybody. On top of it the role and the
// fleet in the URI are compared, in VerifyConnection, which TLS runs on every
// connection. The name in the clear part of the handshake also lets a server
// tell fleet clients from browsers, which get another certificate.
//
// # No session tickets
//
// Resumption is off on both sides. A resumed session would carry on with an
// identity that was checked in the past; a full handshake at every connection
// costs a fraction of a millisecond and is where an expired or revoked
// certificate is noticed.
//
// Nothing here keeps a clock or a source of randomness of its own: both are
// parameters.
package trust
