// Package enrol holds what a machine says to be admitted (Request) and to get
// back in after its certificate ran out (Renewal), and the decision whether it
// is to be believed. Both are signed by the machine's own key, which proves that
// it holds it, under domains of their own, so that neither passes for the other
// or for anything else that the key signs.
//
// A Request with a token proves knowledge of the token's secret by a signature
// bound to the fingerprint of the fleet's authority and to everything else in
// the request: a coordinator of another fleet learns nothing it could use.
//
// What is signed are canonical bytes made of the fields (ProofMessage), never the
// JSON that carries them. Replaying a request is harmless: what it yields is a
// certificate for the key of whom it was stolen from.
//
// Everything here is pure.
package enrol
