package crm

import (
	"encoding/json"
	"strconv"
)

// object is a tagged JSON object. Older jsonpickle puts the members into a
// py/state inside it; what stands there comes first.
type object struct {
	place  string
	family Family
	class  class
	outer  map[string]any
	state  map[string]any
}

// parseObject opens a tagged object of any class of the closed list.
func parseObject(at string, v any) (object, *Error) {
	outer, ok := v.(map[string]any)
	if !ok {
		return object{}, refuse(WrongType, at, "want an object")
	}
	name, ok := outer[tagObject].(string)
	if !ok {
		return object{}, refuse(MissingMember, member(at, tagObject), "")
	}
	family, class, ok := lookup(name)
	if !ok {
		return object{}, refuse(UnknownClass, member(at, tagObject), "%q", clip(name))
	}
	o := object{place: at, family: family, class: class, outer: outer}
	if state, wrapped := outer[tagState]; wrapped {
		if o.state, ok = state.(map[string]any); !ok {
			return object{}, refuse(WrongType, member(at, tagState), "want an object")
		}
	}
	return o, nil
}

// item opens v as a part of o's packet: of the given class and the same family.
func (o object) item(at string, v any, want class) (object, *Error) {
	part, err := parseObject(at, v)
	switch {
	case err != nil:
		return object{}, err
	case part.class == classOther:
		return object{}, refuse(Unsupported, at, "a class of an older version")
	case part.class != want || part.family != o.family:
		return object{}, refuse(TypeMismatch, member(at, tagObject), "want %s", path(o.family, want))
	}
	return part, nil
}

func (o object) at(name string) string { return member(o.place, name) }

func (o object) find(name string) (any, bool) {
	if v, ok := o.state[name]; ok {
		return v, true
	}
	v, ok := o.outer[name]
	return v, ok
}

func (o object) member(name string) (any, *Error) {
	v, ok := o.find(name)
	if !ok {
		return nil, refuse(MissingMember, o.at(name), "")
	}
	return v, nil
}

func (o object) object(name string, want class) (object, *Error) {
	v, err := o.member(name)
	if err != nil {
		return object{}, err
	}
	return o.item(o.at(name), v, want)
}

func (o object) text(name string) (string, *Error) {
	v, err := o.member(name)
	if err != nil {
		return "", err
	}
	text, ok := v.(string)
	if !ok {
		return "", refuse(WrongType, o.at(name), "want a text")
	}
	return text, nil
}

func (o object) bool(name string) (bool, *Error) {
	v, err := o.member(name)
	if err != nil {
		return false, err
	}
	is, ok := v.(bool)
	if !ok {
		return false, refuse(WrongType, o.at(name), "want true or false")
	}
	return is, nil
}

// int reads a whole number written as one: 1.0 and 1e3 are of another type.
func (o object) int(name string, from, to int) (int, *Error) {
	v, err := o.member(name)
	if err != nil {
		return 0, err
	}
	number, ok := v.(json.Number)
	if !ok {
		return 0, refuse(WrongType, o.at(name), "want a whole number")
	}
	n, bad := strconv.Atoi(number.String())
	if bad != nil || n < from || n > to {
		return 0, refuse(BadValue, o.at(name), "%s, want a whole number from %d to %d", clip(number.String()), from, to)
	}
	return n, nil
}

// list reads a list or a tuple.
func (o object) list(name string) ([]any, *Error) {
	v, err := o.member(name)
	if err != nil {
		return nil, err
	}
	list, ok := tuple(v)
	if !ok {
		return nil, refuse(WrongType, o.at(name), "want a list")
	}
	return list, nil
}

func tuple(v any) ([]any, bool) {
	if tagged, ok := v.(map[string]any); ok {
		v = tagged[tagTuple]
	}
	list, ok := v.([]any)
	return list, ok
}
