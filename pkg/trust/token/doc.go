// Package token makes and judges join tokens: the text that lets a new machine
// into the fleet without an operator at hand. A token names the fleet's
// authority by its fingerprint, so its bearer verifies the coordinator before
// he says anything, and holds a secret that never travels: the bearer proves
// that he knows it by signing his request with a key derived from it.
//
//	cloudless_join1_BASE64URL
//	  fleet      length (1 byte), name
//	  authority  fingerprint, 32 bytes
//	  id         8 bytes
//	  secret     20 bytes (160 bits)
//	  addresses  count (1 byte), each: length (1 byte), host:port
//	  check      first 4 bytes of SHA-256 of "cloudless join token v1", 00 and all before
//
// The base64 is the one of URLs, without padding, in its only canonical form.
// Every text that parses is the text of exactly one token.
//
// Everything here is pure: no disk, no clock, no randomness but parameters.
package token
