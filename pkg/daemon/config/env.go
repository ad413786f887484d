package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// applyEnv lets environment variables override v.
//
// Scalars are given as they are, without quotes; a list of scalars as elements
// with commas between them; every list, map or array of tables can be given in
// TOML: [1, 2] or { a = 1 }.
func applyEnv(v reflect.Value, from Source, set map[string]Place, found *problems) {
	if from.EnvPrefix == "" {
		return
	}
	for _, variable := range slices.Sorted(slices.Values(from.Environ)) {
		name, value, _ := strings.Cut(variable, "=")
		suffix, ours := strings.CutPrefix(name, from.EnvPrefix)
		if !ours {
			continue
		}
		at := Place{Source: "environment"}
		targets, names := matchEnv(leavesOf(v), suffix)
		switch len(targets) {
		case 0:
			hint := "; print-config lists all keys"
			if near := nearest(suffix, names); near != "" {
				hint = ", did you mean " + from.EnvPrefix + near + "?"
			}
			found.add(at, name, "unknown variable%s", hint)
		case 1:
			target := targets[0]
			d := decoder{found: found, set: set, only: target.key, place: func(string) Place { return Place{Source: "environment: " + name} }}
			raw, err := envValue(target.typ, value)
			if err != nil {
				found.add(at, name, "%s", hide(err.Error(), target.secret))
				continue
			}
			d.path(v, strings.Split(target.key, "."), raw, target.secret)
		default:
			found.add(at, name, "may mean %s or %s; set it in a file", targets[0].key, targets[1].key)
		}
	}
}

// path puts raw under the key in the struct v.
func (d *decoder) path(v reflect.Value, pieces []string, raw any, secret bool) {
	for i := len(pieces) - 1; i > 0; i-- {
		raw = map[string]any{pieces[i]: raw}
	}
	fields := fieldsOf(v.Type())
	i := slices.IndexFunc(fields, func(f field) bool { return f.name == pieces[0] })
	d.value(v.FieldByIndex(fields[i].index), raw, pieces[0], secret)
}

func envName(key string) string {
	return strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(key))
}

// matchEnv finds the leaves that a variable's suffix names, and lists the
// names of all.
func matchEnv(leaves []leaf, suffix string) (targets []leaf, names []string) {
	for _, l := range leaves {
		name := envName(l.key)
		names = append(names, name)
		if name == suffix {
			targets = append(targets, l)
		}
	}
	return targets, names
}

// envValue turns the text of a variable into what the TOML parser would give
// for a value of type t.
func envValue(t reflect.Type, text string) (any, error) {
	switch kindOf(t) {
	case kindPointer:
		return envValue(t.Elem(), text)
	case kindText, kindDuration, kindString:
		return text, nil
	case kindBool:
		if b, err := strconv.ParseBool(text); err == nil {
			return b, nil
		}
	case kindInt, kindUint:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, nil
		}
	case kindFloat:
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return f, nil
		}
	case kindList:
		if !strings.HasPrefix(strings.TrimSpace(text), "[") && !isTableArray(t) {
			return envList(t.Elem(), text)
		}
		return envTOML(text)
	default:
		return envTOML(text)
	}
	return nil, fmt.Errorf("want %s, got %q", wanted(reflect.New(t).Elem()), clip(text))
}

func envList(element reflect.Type, text string) (any, error) {
	list := []any{}
	if strings.TrimSpace(text) == "" {
		return list, nil
	}
	for piece := range strings.SplitSeq(text, ",") {
		value, err := envValue(element, strings.TrimSpace(piece))
		if err != nil {
			return nil, err
		}
		list = append(list, value)
	}
	return list, nil
}

func envTOML(text string) (any, error) {
	if strings.ContainsAny(text, "\r\n") {
		return nil, fmt.Errorf("want one line of TOML")
	}
	var parsed struct{ V any }
	if _, err := toml.Decode("v = "+text, &parsed); err != nil {
		return nil, fmt.Errorf("%s, in %s", syntaxMessage(err), clip(text))
	}
	return parsed.V, nil
}
