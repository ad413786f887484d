package admission

import (
	"fmt"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust/enrol"
	"github.com/cloudless-fleet/cloudless/pkg/trust/pairing"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// Outcome is what became of a wish to be let in, or to stay in. The spelling is
// that of the API.
type Outcome string

// The outcomes.
const (
	OutcomeAdmitted Outcome = "admitted" // Certificate and Bundle are there
	OutcomePending  Outcome = "pending"  // an operator has to approve; Code is there
	OutcomeRefused  Outcome = "refused"  // Reason says why
)

// Reasons of this package. The others are those of enrol.Reason and
// token.Verdict: see Reasons.
const (
	ReasonLimited       = "limited"         // too many ask at once: ask again
	ReasonFull          = "full"            // no room for another member, or for another who waits
	ReasonRejected      = "rejected"        // by an operator
	ReasonIdentityInUse = "identity_in_use" // the worker id belongs to another key
	ReasonCloneLimit    = "clone_limit"     // too many clones of one family today: with OutcomePending
	ReasonUnavailable   = "unavailable"     // the coordinator cannot write or sign: ask again
)

// Reasons lists every reason there is, for counters: each once.
func Reasons() []string {
	all := []string{ReasonLimited, ReasonFull, ReasonRejected, ReasonIdentityInUse, ReasonCloneLimit, ReasonUnavailable}
	for _, reason := range enrol.Reasons() {
		if reason != enrol.OK {
			all = append(all, reason.String())
		}
	}
	for _, verdict := range token.Verdicts() {
		if !verdict.OK() {
			all = append(all, verdict.String())
		}
	}
	return all
}

// Answer is the answer to a request.
type Answer struct {
	Outcome Outcome
	// Reason is one of Reasons when refused. It is ReasonCloneLimit for a clone
	// that is pending because of that, and empty otherwise.
	Reason string
	Text   string // says it to people
	// Certificate is the member's own, Bundle the fleet's authorities; PEM.
	Certificate, Bundle []byte
	Code                pairing.Code  // of a machine that is pending
	RetryAfter          time.Duration // 0: not without a change
	// Member is who was admitted.
	Member Member
	// New is true for the first certificate of a member that nobody but this
	// answer tells of: one that an operator has approved is none. After a crash
	// it may be true twice.
	New bool
	// Offset is how far the machine's clock is ahead of ours.
	Offset time.Duration
}

// How soon a machine shall ask again.
const (
	retryLimited     = 5 * time.Second
	retryUnavailable = 10 * time.Second
	retryFull        = time.Minute
	retryClock       = time.Minute      // the clock may have been set
	retryRejected    = time.Minute      // the operator may think better of it
	retryRevoked     = 90 * time.Second // or readmit it
	retryPending     = 5 * time.Second  // and retryPerPending for each that waits
	retryPerPending  = 10 * time.Millisecond
)

// refusal is the answer for a reason.
func refusal(reason string) Answer {
	a := Answer{Outcome: OutcomeRefused, Reason: reason, Text: "refused: " + reason}
	if words, known := refusals[reason]; known {
		a.Text, a.RetryAfter = words.text, words.retry
	}
	return a
}

// refusals is constant. A text says what to do when somebody has to.
var refusals = map[string]struct {
	text  string
	retry time.Duration
}{
	ReasonLimited:       {"the coordinator is asked by too many at once", retryLimited},
	ReasonFull:          {"the fleet has no room for another machine: an operator has to forget some, or raise max_members or max_pending", retryFull},
	ReasonRejected:      {"an operator has turned this machine away; until it is approved or forgotten it stays out", retryRejected},
	ReasonIdentityInUse: {"this worker id belongs to another key: remove the worker's identity to get a new one", 0},
	ReasonCloneLimit:    {"too many machines came with copies of one state folder today: an operator has to approve", 0},
	ReasonUnavailable:   {"the coordinator cannot admit anybody at the moment; its log says why", retryUnavailable},

	enrol.Malformed.String():        {"the request is not a valid one", 0},
	enrol.BadSignature.String():     {"the request is not signed by the key that it names", 0},
	enrol.ForeignAuthority.String(): {"the request is meant for another fleet, or for an authority that this fleet has given up: a new join token is needed", 0},
	enrol.TooOld.String():           {"the machine's clock is too far behind the coordinator's", retryClock},
	enrol.FromFuture.String():       {"the machine's clock is too far ahead of the coordinator's", retryClock},
	enrol.UnknownWorker.String():    {"this worker was never admitted, or was forgotten: it has to enrol", 0},
	enrol.WrongKey.String():         {"this worker was admitted with another key", 0},
	enrol.Revoked.String():          {"this worker was revoked", retryRevoked},

	token.Wrong.String():   {"there is no such join token", 0},
	token.Revoked.String(): {"the join token was revoked: a new one is needed", 0},
	token.Expired.String(): {"the join token has expired: a new one is needed", 0},
	token.UsedUp.String():  {"the join token has admitted as many machines as it may: a new one is needed", 0},
}

const operatorPrefix = "operator "

// by spells who has let a member in.
func byToken(id token.ID) string           { return "token " + id.String() }
func byOperator(name string) string        { return operatorPrefix + clip(name) }
func byPolicy(number int) string           { return fmt.Sprintf("policy %d", number) }
func byClone(former model.WorkerID) string { return "clone " + former.String() }
