package config

import (
	"cmp"
	"errors"
	"reflect"
	"slices"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// validate asks the configuration about itself and finds the places of the
// keys that it complains about.
func validate[C Validator](effective C, origin *Origin, mainPath string) problems {
	var found problems
	known := knownOf(reflect.ValueOf(&effective).Elem())
	for _, err := range flatten(effective.Validate()) {
		key, message := keyOf(err, known)
		found.add(origin.nearest(key, mainPath), key, "%s", message)
	}
	origin.sort(found)
	return found
}

// sort puts problems into the order in which somebody goes through the sources:
// file by file, line by line, the environment last.
func (o *Origin) sort(found problems) {
	rank := func(p Problem) int {
		if i := slices.Index(o.Files, p.Place.Source); i >= 0 {
			return i
		}
		return len(o.Files)
	}
	slices.SortStableFunc(found, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Place.Line, b.Place.Line))
	})
}

// flatten takes joined errors apart.
func flatten(err error) []error {
	if err == nil {
		return nil
	}
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, flatten(one)...)
	}
	return all
}

// keySet holds the keys of a configuration type, and what else may stand below
// each of them.
type keySet map[string]below

type below uint8

const (
	nothingElse below = iota
	anyKey            // the entries of a map
	elements          // of an array: key[0]
	tables            // of an array: key[0].name
)

func belowOf(t reflect.Type) below {
	switch {
	case kindOf(t) == kindMap:
		return anyKey
	case isTableArray(t):
		return tables
	case kindOf(t) == kindList:
		return elements
	}
	return nothingElse
}

func knownOf(v reflect.Value) keySet {
	known := keySet{}
	for _, l := range leavesOf(v) {
		known[l.key] = belowOf(l.typ)
		for key := parentKey(l.key); key != ""; key = parentKey(key) {
			known[key] = nothingElse
		}
	}
	return known
}

func (s keySet) has(key string) bool {
	if _, known := s[key]; known {
		return true
	}
	for at := parentKey(key); at != ""; at = parentKey(at) {
		isElement := key[len(at)] == '['
		switch s[at] {
		case anyKey:
			return true
		case tables:
			return isElement
		case elements:
			return isElement && parentKey(key) == at
		}
	}
	return false
}

// keyOf separates the key from the rest of an error: by its type, or because
// the text begins with a known key and a colon. An owner may name its keys
// with or without the section it is put into.
func keyOf(err error, known keySet) (key, message string) {
	message = err.Error()
	if field, ok := errors.AsType[*model.FieldError](err); ok {
		key, message = field.Key, field.Err.Error()
	}
	for {
		piece, rest, found := strings.Cut(message, ": ")
		if !found || strings.ContainsAny(piece, " \n") {
			return key, message
		}
		longer := piece
		if key != "" && !strings.HasPrefix(piece, key+".") {
			longer = key + "." + piece
		}
		if !known.has(longer) {
			return key, message
		}
		key, message = longer, rest
	}
}

// nearest returns where key was set, or else its section, or else the file
// where it would be set.
func (o *Origin) nearest(key, mainPath string) Place {
	for at := key; at != ""; at = parentKey(at) {
		if place, ok := o.set[at]; ok {
			return place
		}
	}
	if o.Missing != "" {
		return Place{Source: "defaults"}
	}
	return Place{Source: mainPath}
}
