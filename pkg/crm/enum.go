package crm

import (
	"encoding/json"
	"strconv"
)

// spelling is how an enum stands in a packet.
type spelling uint8

const (
	asReduce spelling = iota
	asPaddedReduce
	asName
	asNumber
)

// enum reads an enum of the given class in any of its spellings:
//
//	{"py/reduce": [{"py/type": T}, {"py/tuple": [n]}]}                       jsonpickle from 1.2
//	{"py/reduce": [{"py/type": T}, {"py/tuple": [n]}, null, null, null]}     jsonpickle to 1.1
//	{"py/reduce": [{"py/function": "builtins.getattr"},
//	               {"py/tuple": [{"py/type": T}, "NAME"]}]}                  CPython 3.11.2
//	"NAME"                                                                   the legacy daemons
//	n, "n"                                                                   nobody known
func (o object) enum(name string, want class) (number int, how spelling, err *Error) {
	v, err := o.member(name)
	if err != nil {
		return 0, 0, err
	}
	tagged, ok := v.(map[string]any)
	if !ok {
		how = asNumber
		if _, ok := want.numberOf(asText(v)); ok {
			how = asName
		}
		number, err = symbolNumber(o.at(name), v, want)
		return number, how, err
	}
	list, ok := tagged[tagReduce].([]any)
	if !ok {
		return 0, 0, refuse(WrongType, o.at(name), "want an enum")
	}
	return o.reduce(o.at(name), list, want)
}

// reduce reads the list inside a py/reduce: what to call, with which
// arguments, and nothing more. Nothing is called.
func (o object) reduce(at string, list []any, want class) (number int, how spelling, err *Error) {
	if len(list) < 2 || len(list) > 5 {
		return 0, 0, refuse(BadValue, at, "%d items in a %s", len(list), tagReduce)
	}
	for _, v := range list[2:] {
		how = asPaddedReduce
		if v != nil {
			return 0, 0, refuse(BadValue, at, "a state in a %s", tagReduce)
		}
	}
	what, _ := list[0].(map[string]any)
	args, ok := tuple(list[1])
	if !ok {
		return 0, 0, refuse(WrongType, at, "want a tuple in a %s", tagReduce)
	}
	if _, getattr := what[tagFunction]; getattr {
		if len(args) != 2 {
			return 0, 0, refuse(BadValue, at, "%d arguments, want 2", len(args))
		}
		what, _ = args[0].(map[string]any)
		args = args[1:]
	}
	if len(args) != 1 {
		return 0, 0, refuse(BadValue, at, "%d arguments, want 1", len(args))
	}
	family, got, ok := lookup(asText(what[tagType]))
	if !ok || got != want || family != o.family {
		return 0, 0, refuse(TypeMismatch, at, "want an enum of %s", path(o.family, want))
	}
	number, err = symbolNumber(at, args[0], want)
	return number, how, err
}

// symbolNumber reads one member of an enum: its name, or its number as number
// or text.
func symbolNumber(at string, v any, want class) (int, *Error) {
	text, ok := v.(string)
	if digits, isNumber := v.(json.Number); isNumber {
		text, ok = digits.String(), true
	}
	if !ok {
		return 0, refuse(WrongType, at, "want an enum")
	}
	if number, ok := want.numberOf(text); ok {
		return number, nil
	}
	number, bad := strconv.Atoi(text)
	if _, known := want.nameOf(number); bad != nil || !known {
		return 0, refuse(BadValue, at, "%q is no %s", clip(text), path(Dtos, want))
	}
	return number, nil
}

func asText(v any) string { text, _ := v.(string); return text }
