package worker

import (
	"errors"
	"slices"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/enrol"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// situation is what a machine without a good certificate knows.
type situation struct {
	fleet     string            // the only one to be asked, as configured
	authority trust.Fingerprint // that a coordinator must prove, as configured
	token     *token.Token      // nil: none
	// bundle is of the fleet that it is or was a member of; without authorities:
	// of none.
	bundle trust.Bundle
	// expired: it has a certificate of that fleet, which ran out.
	expired bool
	// forgotten: that fleet has said that it does not know it.
	forgotten bool
	// former: it has the good certificate of the identity that it had before.
	former     bool
	configured []string     // addresses, host:port
	remembered []string     // likewise, of coordinators that have answered
	heard      []calledFrom // by discovery, the first one first
}

// calledFrom is a coordinator that was heard of.
type calledFrom struct {
	fleet   string
	address string // host:port
}

// proof is what a coordinator has to prove before it is told anything.
type proof uint8

const (
	proofNone      proof = iota // nothing: see anybody
	proofBundle                 // to be of the fleet whose bundle is there
	proofToken                  // the authority that the token names
	proofAuthority              // the authority that the configuration names
)

// approach is how the next attempt is made.
type approach struct {
	renewal   bool // by proof of the key; otherwise an enrolment
	proof     proof
	token     bool   // the request carries the token's proof
	former    bool   // it goes out with the certificate of the former identity
	fleet     string // "": any
	addresses []string
}

// approach decides. Whoever knows something to verify the coordinator by uses
// it: only a machine that knows nothing asks anybody. Pure.
func (s situation) approach() approach {
	known := len(s.bundle.Authorities) > 0
	switch {
	case known && s.expired && !s.forgotten:
		return approach{renewal: true, proof: proofBundle, fleet: s.bundle.Fleet, addresses: s.addresses(s.bundle.Fleet, nil)}
	case s.token != nil && !(known && s.trusts(s.token.Authority)):
		return approach{proof: proofToken, token: true, fleet: s.token.Fleet, addresses: s.addresses(s.token.Fleet, s.token.Addresses)}
	case known:
		a := approach{proof: proofBundle, fleet: s.bundle.Fleet, former: s.former}
		var first []string
		if s.token != nil {
			a.token, first = true, s.token.Addresses
		}
		a.addresses = s.addresses(s.bundle.Fleet, first)
		return a
	case !s.authority.IsZero():
		return approach{proof: proofAuthority, fleet: s.fleet, addresses: s.addresses(s.fleet, nil)}
	}
	return approach{fleet: s.fleet, addresses: s.addresses(s.fleet, nil)}
}

func (s situation) trusts(authority trust.Fingerprint) bool {
	return slices.Contains(s.bundle.Fingerprints(), authority)
}

// addresses are those to be tried, in their order, each once.
func (s situation) addresses(fleet string, first []string) []string {
	all := slices.Concat(first, s.configured, s.remembered)
	for _, one := range s.heard {
		if fleet == "" || one.fleet == fleet {
			all = append(all, one.address)
		}
	}
	var once []string
	for _, address := range all {
		if !slices.Contains(once, address) {
			once = append(once, address)
		}
	}
	return once
}

// Bounds of the waits between two attempts. Everybody has a random share in
// them, so that a fleet that starts at once does not ask at once.
const (
	firstRetry  = time.Second
	latestRetry = time.Minute
	askAgain    = 10 * time.Second // pending, when the coordinator names no time
	askAgainMax = 5 * time.Minute
	// seldom is for a no that will not become a yes by itself.
	seldom = 5 * time.Minute
	// outcast is for a worker that was revoked: the operator may readmit it.
	outcast = 2 * time.Minute
	// longest bounds what a coordinator may name.
	longest = 15 * time.Minute
)

// attempt is what has come of asking.
type attempt struct {
	answered bool
	answer   api.Enrolment
	failures int // attempts without an answer, in a row
}

// wait is how long to wait before the next attempt. random is from 0 to 1.
func (a attempt) wait(random float64) time.Duration {
	spread := func(d time.Duration) time.Duration { return d/2 + time.Duration(random*float64(d/2)) }
	named := time.Duration(a.answer.RetryAfter) * time.Millisecond
	switch {
	case !a.answered:
		return spread(min(firstRetry<<min(a.failures, 10), latestRetry))
	case a.answer.Outcome == api.Pending:
		if named <= 0 {
			named = askAgain
		}
		named = min(max(named, firstRetry), askAgainMax)
		return named + time.Duration(random*float64(named)/4) // as told, and a little later
	case named > 0:
		named = min(max(named, firstRetry), longest)
		return named + time.Duration(random*float64(named)/4)
	case a.answer.Reason == enrol.Revoked.String():
		return spread(outcast)
	default:
		return spread(seldom)
	}
}

// whyNobody says why asking has come to nothing. Whoever answers and is not whom
// the token names is not told from an attacker, but an operator can tell.
func whyNobody(a approach, err error) string {
	if errors.Is(err, trust.ErrPin) {
		switch a.proof {
		case proofToken:
			return "no coordinator proves to be the one that the join token names; if the fleet has replaced its authority since, a new join token is needed"
		case proofAuthority:
			return "no coordinator proves to have the authority of enrol.authority; the fleet may have replaced it"
		}
	}
	return "no coordinator has answered"
}
