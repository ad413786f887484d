package api

import (
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Paths of the control channel: what workers, and machines that want to become
// one, ask of coordinatord over HTTPS on its TCP port. The worker dials.
const (
	// PathEnrol takes an enrol.Request from anybody; the answer is an Enrolment.
	// A worker that has made itself a new identity asks with the certificate of
	// its former one.
	PathEnrol = "/v1/enrol"
	// PathRenewal takes an enrol.Renewal from a worker whose certificate ran out.
	PathRenewal = "/v1/renewal"
	// PathRenew gives a member whose certificate is good a new one for the same
	// key. The body is empty, the answer an Enrolment.
	PathRenew = "/v1/renew"
	// PathRegister takes a ProbeAck and answers with a RegisterAck, both as
	// package crm spells them on the wire.
	PathRegister = "/v1/register"
	// PathKeepAlive renews the lease of the worker that calls.
	PathKeepAlive = "/v1/keepalive"
	// PathSession opens the worker's session: the answer is a stream of
	// Directive, one JSON object a line, which lasts as long as the connection.
	PathSession = "/v1/session"
	// PathLeave is a worker's goodbye.
	PathLeave = "/v1/leave"
)

// Outcome is what became of a wish to be let in.
type Outcome string

// The outcomes.
const (
	Admitted Outcome = "admitted" // Certificate and Bundle are there
	Pending  Outcome = "pending"  // an operator has to approve; ask again after RetryAfter
	Refused  Outcome = "refused"  // Reason says why
)

// Enrolment is the answer to a well-formed wish to be let in, or to stay in.
type Enrolment struct {
	Outcome Outcome `json:"outcome"`
	// Reason is one of a closed set, in the spelling of token.Verdict and
	// enrol.Reason, or "rejected", "full", "limited", "clone_limit"; empty unless refused.
	Reason string `json:"reason,omitempty"`
	// Text says it to people.
	Text  string `json:"text,omitempty"`
	Fleet string `json:"fleet,omitempty"`
	// Certificate and Bundle are PEM: the member's own, and the fleet's
	// authorities.
	Certificate string `json:"certificate,omitempty"`
	Bundle      string `json:"bundle,omitempty"`
	// Code is the pairing code of the key that asked, while it is pending.
	Code string `json:"code,omitempty"`
	// RetryAfter is when to ask again, in milliseconds; 0: not without a change.
	RetryAfter int64 `json:"retry_after_ms,omitempty"`
}

// Session is the body of POST /v1/session: which process of a worker, on which
// machine, this is.
type Session struct {
	// Boot names the process: it is the boot of its stream, too.
	Boot model.BootID `json:"boot"`
	// Body tells the machine apart from others with the same identity.
	Body trust.Body `json:"body"`
	// Hostname and Version are for people.
	Hostname string `json:"hostname"`
	Version  string `json:"version,omitempty"`
	// Bundle is the digest of the authorities that it trusts (BundleDigest).
	Bundle string `json:"bundle"`
	// Now is its clock as the request goes out.
	Now model.Millis `json:"now_ms"`
}

// Directive is one line of a session. Every member is optional; a line without
// any is a sign of life.
type Directive struct {
	// Now is the coordinator's clock.
	Now model.Millis `json:"now_ms,omitempty"`
	// Plan is what is to be collected, from now on. The first one says that the
	// session is admitted.
	Plan *Plan `json:"plan,omitempty"`
	// Wait says that the session is not admitted yet, and why: another process
	// of this identity seems to be alive.
	Wait string `json:"wait,omitempty"`
	// Rekey asks this machine to make itself a new identity, and says why: it is
	// the newer one of two machines with this one.
	Rekey string `json:"rekey,omitempty"`
	// Rebind says that the fleet takes this machine for the same one, whatever
	// of it was changed.
	Rebind bool `json:"rebind,omitempty"`
	// Bundle is the fleet's authorities, PEM, when they have changed.
	Bundle string `json:"bundle,omitempty"`
	// Renew asks for a new certificate to be fetched now.
	Renew bool `json:"renew,omitempty"`
	// End says why the coordinator ends the session: it is the last line.
	End string `json:"end,omitempty"`
}

// Plan says what a worker collects and for whose sake.
type Plan struct {
	Revision uint64 `json:"revision"`
	// Instance is the worker's name in the fleet; empty before it is registered.
	Instance string `json:"instance,omitempty"`
	// Labels are the fleet's own for this worker.
	Labels map[string]string `json:"labels,omitempty"`
	// Profile names what is collected: "default" is what the worker's own
	// configuration says.
	Profile string `json:"profile"`
	// For says for whose sake.
	For []string `json:"for,omitempty"`
	// Collectors are where frames go, best first.
	Collectors []CollectorAddress `json:"collectors,omitempty"`
}

// CollectorAddress is where a collector takes streams.
type CollectorAddress struct {
	Hostname string `json:"hostname"`
	// Host is an address; empty: the one under which the coordinator is reached.
	Host string `json:"host,omitempty"`
	Port uint16 `json:"port"`
}

// KeepAlive is the body of POST /v1/keepalive.
type KeepAlive struct {
	Boot   model.BootID `json:"boot"`
	Body   trust.Body   `json:"body"`
	Bundle string       `json:"bundle"`
	Now    model.Millis `json:"now_ms"`
}

// KeepAliveResult is the answer.
type KeepAliveResult struct {
	// Now is the coordinator's clock.
	Now model.Millis `json:"now_ms"`
	// Renewed says whether there was a lease to renew: if not, register.
	Renewed bool `json:"renewed"`
	// Session says whether this process has the worker's session: if not, open
	// one.
	Session bool `json:"session"`
}

// Leave is the body of POST /v1/leave.
type Leave struct {
	Boot model.BootID `json:"boot"`
}
