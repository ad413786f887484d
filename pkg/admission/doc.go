// Package admission is the coordinator's desk: it decides who may join the fleet,
// keeps whom it has let in, and which one process of a member has its session.
//
// It promises five things. Nobody gets a certificate before the reason for it is
// on disk: a token's use is spent, and the member known, when the answer goes
// out, whatever crashes. A machine whose answer got lost asks again and gets the
// same membership and another certificate; nothing is spent twice. One identity
// is used by one process on one machine: of two, one is told to make itself a new
// identity. A machine that an operator has turned away stays turned away. Nothing
// that a stranger sends grows memory or disk beyond fixed bounds, or takes more
// than a fixed share of a processor.
//
// A request to be let in is judged in this order, the cheap things first:
//
//	rate limit -> signature and time (enrol.Check) -> revoked -> is a member
//	  -> rejected -> join token -> clone of a member -> auto-approve policy
//	  -> pending: an operator decides
//	admitted: spend and remember -> fsync -> sign -> answer
//
// Memory is the truth and the disk follows: a change is made under one mutex, and
// whoever has to be sure of it waits for the write that contains it. Many who
// wait at once share one transaction. When the disk fails nobody is answered with
// a certificate; the changes stay in memory and are written once it works again.
//
// Sessions are decided by a pure function, nextSession(state, event, now), which
// is given the time and never asks for it; see session.go for its rules.
//
// docs/formats/admission.md says what the file holds.
package admission
