package config

import (
	"slices"
	"strings"
)

// knownKeys says what an unknown key may have been meant to be.
func knownKeys(name string, fields []field) string {
	names := make([]string, len(fields))
	for i, f := range fields {
		names[i] = f.name
	}
	if near := nearest(name, names); near != "" {
		return ", did you mean " + near + "?"
	}
	const most = 12
	if len(names) > 0 && len(names) <= most {
		return "; known here: " + strings.Join(names, ", ")
	}
	return "; print-config lists all keys"
}

// nearest picks the candidate that a typing error may have turned into name;
// "" when none is near. Letter case and the choice of - or _ do not count.
func nearest(name string, candidates []string) string {
	const longest = 64
	if len(name) > longest {
		return ""
	}
	name = strings.NewReplacer("-", "_", " ", "_").Replace(strings.ToLower(name))
	best, least := "", max(1, len(name)/3)+1
	for _, candidate := range candidates {
		if d := distance(name, strings.ToLower(candidate)); d < least {
			best, least = candidate, d
		}
	}
	if best != "" {
		return best
	}
	i := slices.IndexFunc(candidates, func(c string) bool { // max_size for max, interval for poll_interval
		c = strings.ToLower(c)
		return len(c) > 3 && strings.Contains(name, c) || len(name) > 3 && strings.Contains(c, name)
	})
	if i < 0 {
		return ""
	}
	return candidates[i]
}

// distance counts the letters to insert, delete, replace or swap with their
// neighbour to get from a to b (optimal string alignment).
func distance(a, b string) int {
	before, last := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			row[j+1] = min(last[j]+cost, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
