package registry

import "testing"

// Counters are labelled with these names, and workers shown these texts.
func TestNamesOfVerdicts(t *testing.T) {
	seen := map[string]bool{"": true}
	for _, v := range Verdicts() {
		if seen[v.String()] || v.Text() == "" || refusalNamed(v.String()) != v {
			t.Errorf("verdict %d: name %q, text %q", v, v, v.Text())
		}
		seen[v.String()] = true
	}
	if Verdict(99).String() != "verdict(99)" || Verdict(99).Text() != RefusePolicy.Text() {
		t.Error("values out of range have wrong names")
	}
}
