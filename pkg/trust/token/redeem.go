package token

import (
	"fmt"
	"slices"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// Verdict says what came of a claim. The set is closed: see Verdicts.
type Verdict uint8

const (
	// Admitted: the machine may come in, one use is spent. Store the record
	// first.
	Admitted Verdict = iota
	// Repeated: the same machine asks again, its answer got lost. It may come
	// in; nothing is spent.
	Repeated
	// Wrong: the proof is not of this token's secret, or there is no such token.
	Wrong
	// Revoked by an operator.
	Revoked
	// Expired.
	Expired
	// UsedUp: other machines have spent all uses.
	UsedUp
)

// Verdicts lists them all, for counters.
func Verdicts() []Verdict { return []Verdict{Admitted, Repeated, Wrong, Revoked, Expired, UsedUp} }

// String is the verdict as counters and answers spell it.
func (v Verdict) String() string {
	names := [...]string{"admitted", "repeated", "wrong_token", "token_revoked", "token_expired", "token_used_up"}
	if int(v) < len(names) {
		return names[v]
	}
	return fmt.Sprintf("verdict(%d)", v)
}

// OK reports whether the machine may come in.
func (v Verdict) OK() bool { return v == Admitted || v == Repeated }

// Claim is a machine's wish to come in by a token.
type Claim struct {
	Token   ID
	Message []byte            // what was signed: enrol.Request.ProofMessage
	Proof   []byte            // Token.Prove(Message)
	Key     trust.Fingerprint // of the machine's key, whose possession is proved elsewhere
}

// Redeem decides about a claim at the time now. It is pure: record is not
// changed. Why a token does not serve is told only to those who prove that
// they know it; to all others it is Wrong, so that nobody can find out which
// tokens there are. For an unknown token judge the zero Record.
//
// A machine that the token has admitted may repeat its claim until the token
// expires or is revoked; afterwards it proves its own key (enrol.Renewal).
func Redeem(record Record, claim Claim, now time.Time) (Record, Verdict) {
	switch known := record.admitted(claim.Key); {
	case record.ID.IsZero() || record.ID != claim.Token || claim.Key.IsZero() ||
		!record.Verifier.proves(record.ID, claim.Message, claim.Proof):
		return record, Wrong
	case record.Revoked != nil:
		return record, Revoked
	case !now.Before(record.Expires):
		return record, Expired
	case known:
		return record, Repeated
	case record.UsesLeft <= 0:
		return record, UsedUp
	}
	record.UsesLeft--
	record.Uses = append(slices.Clip(record.Uses), Use{Key: claim.Key, At: now.UTC()})
	return record, Admitted
}

func (r Record) admitted(key trust.Fingerprint) bool {
	return slices.ContainsFunc(r.Uses, func(u Use) bool { return u.Key == key })
}
