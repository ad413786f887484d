// Package packet signs discovery packets and judges them. It promises that a
// packet which a Verifier accepts was made by a beacon of this fleet, or by that
// worker, for this fleet, for that kind of packet, within the last minutes, and
// has not been accepted before.
//
// What is signed are the packet's canonical bytes: those it has without its seal.
// The seal travels beside them, as text:
//
//	seal     base64url of: version 1 | authority, first 8 bytes of its fingerprint |
//	         time, Unix ms, 8 bytes | nonce, 8 bytes | signature, 64 bytes
//	         89 bytes, 119 characters
//	voucher  base64url of: version 1 | authority, 8 bytes | public key, 32 bytes |
//	         good until, Unix ms, 8 bytes | signature of the authority, 64 bytes
//	         113 bytes, 151 characters
//
// The signature of a seal covers a domain, the kind of packet, the fleet's name,
// the whole fingerprint of the authority, the sender, time, nonce and the
// canonical bytes. ProbeInit and RegisterAck are signed by a beacon, a key for
// which the authority has signed a voucher; ProbeAck by the worker's own key,
// which the fleet knows since it has admitted the worker. A member needs to know
// its bundle of authorities only: the voucher may come with the packet. A voucher
// that was verified is remembered, some dozens of them, so that a packet of a known
// beacon costs one verification.
//
// The eight bytes of the authority let a host ignore a foreign fleet's packets at
// the price of a comparison.
package packet
