package config

import "reflect"

// Diff lists the keys whose values differ between two configurations of one
// type, in the order of declaration. Maps and lists differ as a whole.
func Diff[C any](a, b C) []string {
	before, after := leavesOf(reflect.ValueOf(&a).Elem()), leavesOf(reflect.ValueOf(&b).Elem())
	var keys []string
	for i := range before {
		old, now := before[i].value, after[i].value
		if old.IsValid() != now.IsValid() || old.IsValid() && !reflect.DeepEqual(old.Interface(), now.Interface()) {
			keys = append(keys, before[i].key)
		}
	}
	return keys
}
