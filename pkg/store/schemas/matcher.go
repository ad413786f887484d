package schemas

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"
)

// matcher is a matcher of a selection, with what it has decided already.
type matcher struct {
	*labels.Matcher
	empty bool     // a series without the label satisfies it
	set   []string // the only values that can satisfy it, if it is known to be one of few
	known map[*pair]bool
	last  struct {
		value string
		ok    bool
	}
}

func newMatcher(m *labels.Matcher) *matcher {
	w := &matcher{Matcher: m, empty: m.Matches("")}
	switch {
	case w.empty:
	case m.Type == labels.MatchEqual:
		w.set = []string{m.Value}
	case m.Type == labels.MatchRegexp:
		if set := m.SetMatches(); len(set) > 0 {
			w.set = slices.Compact(slices.Sorted(slices.Values(set)))
		}
	}
	return w
}

// label says whether a label of parts, which has a value, satisfies m. Expressions
// are evaluated once for each.
func (m *matcher) label(p *pair) bool {
	switch m.Type {
	case labels.MatchEqual:
		return p.value == m.Value
	case labels.MatchNotEqual:
		return p.value != m.Value
	}
	ok, known := m.known[p]
	if !known {
		if m.known == nil {
			m.known = map[*pair]bool{}
		}
		ok = m.Matches(p.value)
		m.known[p] = ok
	}
	return ok
}

// text says whether a value satisfies m. It remembers the one before: hosts next to
// each other often have the same job.
func (m *matcher) text(value string) bool {
	switch m.Type {
	case labels.MatchEqual:
		return value == m.Value
	case labels.MatchNotEqual:
		return value != m.Value
	}
	if m.last.value != value || value == "" {
		m.last.value, m.last.ok = value, m.Matches(value)
	}
	return m.last.ok
}

// set says whether a label set of parts satisfies all of ms.
func matchSet(ms []*matcher, s *set) bool {
	for _, m := range ms {
		ok := m.empty
		for _, p := range s.pairs {
			if p.name.name == m.Name {
				if p.value != "" {
					ok = m.label(p)
				}
				break
			}
		}
		if !ok {
			return false
		}
	}
	return true
}

// matchOwn is matchSet for labels that were renamed.
func matchOwn(ms []*matcher, own []labels.Label) bool {
	for _, m := range ms {
		ok := m.empty
		for _, l := range own {
			if l.Name == m.Name {
				ok = m.text(l.Value)
				break
			}
		}
		if !ok {
			return false
		}
	}
	return true
}
