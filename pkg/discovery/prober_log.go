package discovery

import (
	"fmt"
	"slices"
	"strings"
)

// mostTold is how many interfaces that are left out the log names: hosts with
// many containers have hundreds.
const mostTold = 8

// tell logs by which interfaces workers are called, and which are left out for
// what reason: in the first round and whenever the former have changed.
func (p *Prober) tell(chosen []InterfaceStats, skipped []SkippedInterface) {
	calls := []string{}
	for _, i := range chosen {
		calls = append(calls, i.Name)
	}
	slices.Sort(calls)
	now := strings.Join(calls, " ")
	if p.told != nil && now == *p.told {
		return
	}
	p.told = &now
	if len(calls) == 0 && len(p.targets) == 0 {
		p.log.Warn("no interface to call workers by; list one in discovery.interfaces, or hosts in discovery.targets",
			"left_out", leftOut(skipped))
		return
	}
	p.log.Info("calling workers", "interfaces", calls, "targets", len(p.targets), "left_out", leftOut(skipped))
}

// leftOut writes interfaces as "name: reason"; nobody misses the loopback.
func leftOut(skipped []SkippedInterface) []string {
	out := []string{}
	for _, i := range skipped {
		if i.Why != SkipLoopback {
			out = append(out, i.Name+": "+string(i.Why))
		}
	}
	if more := len(out) - mostTold; more > 0 {
		out = append(out[:mostTold], fmt.Sprintf("and %d more", more))
	}
	return out
}
