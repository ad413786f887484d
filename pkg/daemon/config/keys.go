package config

import "reflect"

// Key is a key that a configuration type knows.
type Key struct {
	Name  string // dotted
	Unset bool   // the value is the zero value of its type, or empty
}

// KeysOf lists the keys of a configuration in the order of declaration. Maps
// and arrays of tables count as one key: what is in them is free.
func KeysOf[C any](cfg C) []Key {
	var keys []Key
	for _, l := range leavesOf(reflect.ValueOf(&cfg).Elem()) {
		unset := !l.value.IsValid() || l.value.IsZero()
		if k := kindOf(l.typ); !unset && (k == kindMap || k == kindList) {
			unset = l.value.Len() == 0
		}
		keys = append(keys, Key{Name: l.key, Unset: unset})
	}
	return keys
}

// LinesOf finds the line, from 1, of every key, section and array element of a
// well-formed TOML document. Keys are dotted; pieces that TOML cannot write
// bare are quoted; elements have their index behind: targets[2].addr.
func LinesOf(document string) map[string]int { return scanLines(document) }
