package config

import (
	"bufio"
	"encoding"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Print writes effective as TOML that Load reads back to the same value: keys
// in the order of their declaration, maps sorted. What is not set, and secrets,
// appear as comments; a secret's comment tells only that it is set.
func Print(w io.Writer, effective any) error {
	v := reflect.ValueOf(effective)
	for v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	p := &printer{w: bufio.NewWriter(w)}
	p.table(v, "")
	return p.w.Flush()
}

type printer struct {
	w     *bufio.Writer
	begun bool
}

// entry is one key of a table about to be printed.
type entry struct {
	name   string
	value  reflect.Value
	secret bool
}

// table prints the values of a table first and its tables afterwards, as TOML
// wants it.
func (p *printer) table(v reflect.Value, key string) {
	entries := entriesOf(v)
	for _, e := range entries {
		if inline := p.inline(e); inline != "" {
			p.w.WriteString(inline + "\n")
			p.begun = true
		}
	}
	for _, e := range entries {
		value, below := follow(e.value), joinKey(key, e.name)
		switch {
		case e.secret || !value.IsValid():
		case isTable(value.Type()):
			p.section("["+below+"]", value, below)
		case isTableArray(value.Type()):
			for i := range value.Len() {
				p.section("[["+below+"]]", follow(value.Index(i)), below)
			}
		}
	}
}

func (p *printer) section(header string, v reflect.Value, key string) {
	if p.begun {
		p.w.WriteByte('\n')
	}
	p.begun = true
	p.w.WriteString(header + "\n")
	if v.IsValid() {
		p.table(v, key)
	}
}

// inline gives the line of e, or "" when e has sections of its own.
func (p *printer) inline(e entry) string {
	value := follow(e.value)
	name := joinKey("", e.name)
	switch {
	case e.secret && value.IsValid() && !value.IsZero():
		return "# " + name + " is set, but secret"
	case e.secret || !value.IsValid():
		return "# " + name + " is not set"
	case isTable(value.Type()):
		return ""
	case isTableArray(value.Type()) && value.Len() > 0:
		return ""
	}
	text, ok := format(value)
	if !ok {
		return "# " + name + " is not set"
	}
	return name + " = " + text
}

// follow goes through pointers; the result is invalid for nil.
func follow(v reflect.Value) reflect.Value {
	for v.IsValid() && v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	return v
}

func entriesOf(v reflect.Value) []entry {
	var entries []entry
	if v.Kind() == reflect.Map {
		for key, value := range v.Seq2() {
			entries = append(entries, entry{name: key.String(), value: value})
		}
		slices.SortFunc(entries, func(a, b entry) int { return strings.Compare(a.name, b.name) })
		return entries
	}
	for _, f := range fieldsOf(v.Type()) {
		entries = append(entries, entry{f.name, v.FieldByIndex(f.index), f.secret})
	}
	return entries
}

// format spells a value without sections. It is not ok for a text type's zero
// value that its own UnmarshalText would refuse: there is no way to write it.
func format(v reflect.Value) (text string, ok bool) {
	switch kindOf(v.Type()) {
	case kindText:
		return formatText(v)
	case kindDuration:
		return quote(model.FormatDuration(time.Duration(v.Int()))), true
	case kindString:
		return quote(v.String()), true
	case kindBool:
		return strconv.FormatBool(v.Bool()), true
	case kindInt:
		return strconv.FormatInt(v.Int(), 10), true
	case kindUint:
		return strconv.FormatUint(v.Uint(), 10), true
	case kindFloat:
		return formatFloat(v.Float(), v.Type().Bits()), true
	case kindList:
		elements := make([]string, v.Len())
		for i := range elements {
			if elements[i], ok = format(v.Index(i)); !ok {
				return "", false
			}
		}
		return "[" + strings.Join(elements, ", ") + "]", true
	case kindPointer:
		if v.IsNil() {
			return "", false
		}
		return format(v.Elem())
	}
	// A table within an array of arrays has no section.
	var pairs []string
	for _, e := range entriesOf(v) {
		if e.secret {
			continue
		}
		if text, ok := format(e.value); ok {
			pairs = append(pairs, joinKey("", e.name)+" = "+text)
		}
	}
	return "{" + strings.Join(pairs, ", ") + "}", true
}

func formatText(v reflect.Value) (string, bool) {
	marshaler, ok := v.Interface().(encoding.TextMarshaler)
	if !ok {
		addressable := reflect.New(v.Type())
		addressable.Elem().Set(v)
		if marshaler, ok = addressable.Interface().(encoding.TextMarshaler); !ok {
			panic(fmt.Sprintf("config: type %s reads text but cannot write it", v.Type()))
		}
	}
	text, err := marshaler.MarshalText()
	if err != nil {
		return "", false
	}
	back := reflect.New(v.Type()).Interface().(encoding.TextUnmarshaler)
	if back.UnmarshalText(text) != nil {
		return "", false
	}
	return quote(string(text)), true
}

// formatFloat keeps a point or exponent in the number, so that it stays one.
func formatFloat(f float64, bits int) string {
	text := strconv.FormatFloat(f, 'g', -1, bits)
	text = strings.ToLower(strings.Replace(text, "Inf", "inf", 1))
	if strings.ContainsAny(text, ".en") {
		return text
	}
	return text + ".0"
}
