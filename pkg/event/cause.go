package event

// Cause says why samples are missing. It is a name: a lower-case letter, then
// lower-case letters, digits and underscores, at most 32 in all. Others than those
// below may come from newer releases.
type Cause string

// Causes that a worker reports.
const (
	// HostOff: the host was off, or restarting.
	HostOff Cause = "host_off"
	// AgentStopped: workerd was stopped.
	AgentStopped Cause = "agent_stopped"
	// AgentCrashed: workerd ended without being stopped.
	AgentCrashed Cause = "agent_crashed"
	// SpoolFull: the worker's disk space for what is not yet delivered was used up.
	SpoolFull Cause = "spool_full"
	// SpoolOld: it was not delivered in the time for which the worker keeps it.
	SpoolOld Cause = "spool_old"
	// SpoolDamaged: the worker's disk did not give back what was written.
	SpoolDamaged Cause = "spool_damaged"
	// IdentityChanged: the worker became another one before it was delivered.
	IdentityChanged Cause = "identity_changed"
	// RoundSkipped: the host was too busy to sample in time.
	RoundSkipped Cause = "round_skipped"
	// ClockStep: the worker's clock was set ahead; the time in between never was.
	ClockStep Cause = "clock_step"
)

// Causes that the collector notes.
const (
	// RefusedFuture: the worker's clock is too far ahead.
	RefusedFuture Cause = "refused_future"
	// RefusedTooOld: the frame is from before what the collector keeps or takes.
	RefusedTooOld Cause = "refused_too_old"
	// RefusedLimit: the worker has more series or streams than it may have.
	RefusedLimit Cause = "refused_limit"
	// RefusedDamaged: the frame cannot be decoded.
	RefusedDamaged Cause = "refused_damaged"
	// RefusedOther: another reason of the collector.
	RefusedOther Cause = "refused_other"
	// Unreachable: the worker is silent now; it is not yet known why.
	Unreachable Cause = "unreachable"
	// CauseOther stands for causes of which there are too many.
	CauseOther Cause = "other"
)

// Causes lists the causes that this release knows, in the order of the
// declarations.
func Causes() []Cause {
	return []Cause{HostOff, AgentStopped, AgentCrashed, SpoolFull, SpoolOld, SpoolDamaged, IdentityChanged, RoundSkipped, ClockStep,
		RefusedFuture, RefusedTooOld, RefusedLimit, RefusedDamaged, RefusedOther, Unreachable, CauseOther}
}

// Valid says that the cause is a name, known or not.
func (c Cause) Valid() bool { return isName(string(c)) }

// Refused says that the collector has noted it of frames that it did not take.
func (c Cause) Refused() bool {
	switch c {
	case RefusedFuture, RefusedTooOld, RefusedLimit, RefusedDamaged, RefusedOther:
		return true
	}
	return false
}

// Sampled says that the missing samples were made and then lost. Otherwise they
// were never made, or, of Unreachable, it is not known.
func (c Cause) Sampled() bool {
	switch c {
	case SpoolFull, SpoolOld, SpoolDamaged, IdentityChanged:
		return true
	}
	return c.Refused()
}

// Text explains the cause to people. It is empty for causes that this release does
// not know.
func (c Cause) Text() string {
	switch c {
	case HostOff:
		return "the host was off"
	case AgentStopped:
		return "workerd was stopped"
	case AgentCrashed:
		return "workerd ended without being stopped"
	case SpoolFull:
		return "the worker's spool was full"
	case SpoolOld:
		return "not delivered in the time for which the worker's spool keeps it"
	case SpoolDamaged:
		return "the worker's spool was damaged"
	case IdentityChanged:
		return "the worker got another identity"
	case RoundSkipped:
		return "the host was too busy to sample in time"
	case ClockStep:
		return "the worker's clock was set ahead"
	case RefusedFuture:
		return "refused: the worker's clock is ahead"
	case RefusedTooOld:
		return "refused: too old"
	case RefusedLimit:
		return "refused: over a limit of the collector"
	case RefusedDamaged:
		return "refused: damaged"
	case RefusedOther:
		return "refused"
	case Unreachable:
		return "silent now"
	case CauseOther:
		return "other causes"
	}
	return ""
}

const maxName = 32

func isName(name string) bool {
	if name == "" || len(name) > maxName || name[0] < 'a' || name[0] > 'z' {
		return false
	}
	for i := range len(name) {
		c := name[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}
