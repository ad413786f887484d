package logging

import (
	"log/slog"
	"slices"
)

// pair is one attribute with groups flattened into its key: "peer.addr".
type pair struct {
	key   string
	value slog.Value // resolved, never a group
}

// scope is what With and WithGroup have gathered for a handler.
type scope struct {
	pairs  []pair
	prefix string // "group." or ""
}

func (s scope) withAttrs(attrs []slog.Attr) scope {
	s.pairs = slices.Clone(s.pairs)
	for _, a := range attrs {
		s.pairs = appendPairs(s.pairs, s.prefix, a)
	}
	return s
}

func (s scope) withGroup(name string) scope {
	if name != "" {
		s.prefix += name + "."
	}
	return s
}

// all returns the attributes of the scope and the record together.
func (s scope) all(record slog.Record) []pair {
	pairs := slices.Grow(slices.Clone(s.pairs), record.NumAttrs())
	record.Attrs(func(a slog.Attr) bool {
		pairs = appendPairs(pairs, s.prefix, a)
		return true
	})
	return pairs
}

func appendPairs(pairs []pair, prefix string, a slog.Attr) []pair {
	value := a.Value.Resolve()
	if value.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, inner := range value.Group() {
			pairs = appendPairs(pairs, prefix, inner)
		}
		return pairs
	}
	if a.Key == "" && value.Equal(slog.Value{}) {
		return pairs // an empty attribute is ignored, says slog.Handler
	}
	return append(pairs, pair{prefix + a.Key, value})
}
