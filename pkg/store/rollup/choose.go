package rollup

import (
	"github.com/prometheus/prometheus/storage"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Plan says how a selector is answered from a tier.
type Plan struct {
	Tier Tier
	Use  Use
	// From and To are the ends of the first and the last bucket that matter.
	From, To model.Millis
	// Range is how long a window is; 0: the selector is a plain one.
	Range model.Millis
	// Windows end at First and every Step after it, up to Last. Step 0: there is one.
	First, Last, Step model.Millis
}

// worthwhile is how many buckets a single window must have: below, the first and the last
// bucket are most of what is read.
const worthwhile = 4

// Choose finds the widest tier that gives what raw samples give: the windows of all steps
// consist of whole buckets, and the function needs no more of a bucket than it keeps.
//
// What the engine of Prometheus puts into hints: for a range vector
//
//	Start = first window's end - Range + 1      End = last step, offset and @ taken in
//
// and for a plain selector the same with the lookback in place of Range, which is 0. Step
// is that of the query (0 for an instant query) or of the innermost subquery.
func Choose(h *storage.SelectHints, asked Asked) (Plan, bool) {
	if h == nil || asked.Extended || !asked.Outside && !asked.Inside || h.Func == "info" || h.Func == "series" {
		return Plan{}, false
	}
	use, exact := UseOf(h.Func, h.Range > 0)
	if !exact {
		return Plan{}, false
	}
	for _, tier := range [...]Tier{Hour, Minute} {
		if p, ok := plan(h, asked, tier); ok {
			p.Use = use
			return p, true
		}
	}
	return Plan{}, false
}

func plan(h *storage.SelectHints, asked Asked, tier Tier) (p Plan, ok bool) {
	p = Plan{Tier: tier, Range: model.Millis(h.Range), Last: model.Millis(h.End), Step: model.Millis(h.Step)}
	before := p.Range
	if before == 0 {
		before = asked.Lookback
	}
	p.First = model.Millis(h.Start) - 1 + before
	p.From, p.To = tier.End(model.Millis(h.Start)), tier.End(p.Last)
	if !tier.aligned(p.Range) || !tier.aligned(p.Step) || asked.Inside && !tier.aligned(asked.Grain) {
		return p, false
	}
	// Steps outside of subqueries count from the first; @ makes it the only one.
	if (asked.Outside || asked.Pinned) && !tier.aligned(p.First) {
		return p, false
	}
	if asked.Inside {
		// Steps are at multiples of Step then, seen from the offset; any multiple of the tier may be one.
		p.First, p.Step = tier.End(p.First), model.Millis(tier)
	}
	if single := h.Step == 0 || p.First > p.Last-model.Millis(h.Step); single {
		return p, p.Range >= worthwhile*model.Millis(tier)
	}
	return p, true
}
