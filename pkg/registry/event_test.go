package registry

import "testing"

// Counters are labelled with these names, and workers shown these texts.
func TestNamesOfReasons(t *testing.T) {
	seen := map[string]bool{"": true}
	for _, v := range Verdicts() {
		if seen[v.String()] || v.Text() == "" || refusalNamed(v.String()) != v {
			t.Errorf("verdict %d: name %q, text %q", v, v, v.Text())
		}
		seen[v.String()] = true
	}
	reasons := IgnoreReasons()
	if len(reasons) != int(ignoreReasonCount)-1 {
		t.Errorf("%d reasons listed, want %d", len(reasons), ignoreReasonCount-1)
	}
	for _, reason := range reasons {
		if seen[reason.String()] {
			t.Errorf("reason %d: name %q", reason, reason)
		}
		seen[reason.String()] = true
	}
	if Verdict(99).String() != "verdict(99)" || IgnoreReason(0).String() != "reason(0)" || Verdict(99).Text() != RefusePolicy.Text() {
		t.Error("values out of range have wrong names")
	}
}
