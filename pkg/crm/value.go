package crm

import (
	"bytes"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxDepth bounds the nesting of arrays and objects. The deepest known
// spelling, a HostInfo's type with every object wrapped in a py/state, has 9.
const maxDepth = 24

// parseTree reads one JSON value: nil, bool, string, json.Number, []any or
// map[string]any. Of members with the same name the last one counts.
func parseTree(b []byte) (any, *Error) {
	// encoding/json would replace bad bytes; a legacy decoder refuses them.
	if !utf8.Valid(b) {
		return nil, refuse(NotJSON, "", "not UTF-8")
	}
	if depth(b) > maxDepth {
		return nil, refuse(TooDeep, "", "nested deeper than %d", maxDepth)
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var tree any
	if err := d.Decode(&tree); err != nil {
		return nil, refuse(NotJSON, "", "%v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, refuse(NotJSON, "", "something follows the value")
	}
	return tree, nil
}

// depth is how deep the brackets of b nest, whether b is JSON or not.
func depth(b []byte) int {
	now, most := 0, 0
	quoted := false
	for i := 0; i < len(b); i++ {
		switch c := b[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			most = max(most, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return most
}

// The tags of jsonpickle that a packet may hold.
const (
	tagObject   = "py/object"
	tagState    = "py/state"
	tagTuple    = "py/tuple"
	tagReduce   = "py/reduce"
	tagType     = "py/type"
	tagFunction = "py/function"
	tagID       = "py/id"

	tagPrefix = "py/"
)

// checkTags refuses a tree that holds, in any place, also in a member that
// nobody reads, a tag other than those a known peer writes.
func checkTags(v any) *Error {
	if tagsAreKnown(v) {
		return nil
	}
	return firstBadTag(v)
}

// tagsAreKnown is checkTags without saying what is wrong, and so without putting
// the members into order.
func tagsAreKnown(v any) bool {
	switch v := v.(type) {
	case []any:
		for i := range v {
			if !tagsAreKnown(v[i]) {
				return false
			}
		}
	case map[string]any:
		for name, value := range v {
			if strings.HasPrefix(name, tagPrefix) && checkTag(name, value) != nil || !tagsAreKnown(value) {
				return false
			}
		}
	}
	return true
}

func firstBadTag(v any) *Error {
	switch v := v.(type) {
	case []any:
		for i := range v {
			if err := firstBadTag(v[i]); err != nil {
				return err.inside(index("", i))
			}
		}
	case map[string]any:
		// In a fixed order, so that one packet always has one reason.
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if strings.HasPrefix(name, tagPrefix) {
				if err := checkTag(name, v[name]); err != nil {
					return err.inside(name)
				}
			}
			if err := firstBadTag(v[name]); err != nil {
				return err.inside(name)
			}
		}
	}
	return nil
}

func checkTag(tag string, v any) *Error {
	switch tag {
	case tagObject, tagType:
		name, ok := v.(string)
		if !ok {
			return refuse(ForbiddenTag, "", "not a class path")
		}
		_, c, known := lookup(name)
		if !known || c.isEnum() != (tag == tagType) {
			return refuse(UnknownClass, "", "%q", clip(name))
		}
	case tagFunction:
		if v != "builtins.getattr" {
			return refuse(ForbiddenTag, "", "not the function that enums are looked up with")
		}
	case tagReduce:
		list, _ := v.([]any)
		if len(list) < 2 {
			return refuse(ForbiddenTag, "", "not an enum")
		}
		what, _ := list[0].(map[string]any)
		if what[tagType] == nil && what[tagFunction] == nil {
			return refuse(ForbiddenTag, "", "not an enum")
		}
	case tagState, tagTuple:
	case tagID:
		return refuse(Reference, "", "")
	default:
		return refuse(ForbiddenTag, "", "")
	}
	return nil
}

// member and index name a place in a packet.
func member(at, name string) string {
	if at == "" {
		return name
	}
	return at + "." + name
}

func index(at string, i int) string { return at + "[" + strconv.Itoa(i) + "]" }
