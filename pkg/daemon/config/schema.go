package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// kind says how a Go type is spelled in TOML.
type kind uint8

const (
	kindText     kind = iota // encoding.TextUnmarshaler: a string
	kindDuration             // a string like "10s"
	kindString
	kindBool
	kindInt
	kindUint
	kindFloat
	kindList    // slice or array
	kindMap     // table with free keys
	kindTable   // struct
	kindPointer // of any of these
)

// kindOf classifies t; it panics for types that no configuration can hold.
func kindOf(t reflect.Type) kind {
	switch {
	case t.Kind() == reflect.Pointer:
		return kindPointer
	case reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return kindText
	case t == reflect.TypeFor[time.Duration]():
		return kindDuration
	}
	switch t.Kind() {
	case reflect.String:
		return kindString
	case reflect.Bool:
		return kindBool
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return kindInt
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return kindUint
	case reflect.Float32, reflect.Float64:
		return kindFloat
	case reflect.Slice, reflect.Array:
		return kindList
	case reflect.Map:
		if t.Key().Kind() == reflect.String {
			return kindMap
		}
	case reflect.Struct:
		return kindTable
	}
	panic(fmt.Sprintf("config: type %s cannot be configured", t))
}

// isTable reports whether TOML spells t as a table; pointers are followed.
func isTable(t reflect.Type) bool {
	switch kindOf(t) {
	case kindPointer:
		return isTable(t.Elem())
	case kindTable, kindMap:
		return true
	}
	return false
}

// isTableArray reports whether TOML spells t as [[name]] sections.
func isTableArray(t reflect.Type) bool {
	return kindOf(t) == kindList && isTable(t.Elem())
}

// field is one key of a table.
type field struct {
	name   string
	index  []int // for reflect.Value.FieldByIndex
	typ    reflect.Type
	secret bool
}

// fieldsOf lists the keys of struct type t in the order of declaration.
// Embedded structs without a tag contribute their keys to the same table.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		name, tagged := f.Tag.Lookup("toml")
		switch {
		case f.Anonymous && !tagged && f.Type.Kind() == reflect.Struct:
			for _, inner := range fieldsOf(f.Type) {
				inner.index = append([]int{i}, inner.index...)
				fields = append(fields, inner)
			}
		case !f.IsExported() || name == "-":
		case !isBare(name):
			panic(fmt.Sprintf("config: field %s of %s needs a tag `toml:\"its_name\"`", f.Name, t))
		default:
			secret := f.Tag.Get("secret") == "true"
			fields = append(fields, field{name: name, index: f.Index, typ: f.Type, secret: secret})
		}
	}
	return fields
}

// leaf is a key that holds a value rather than a table with known keys.
type leaf struct {
	key    string // dotted
	typ    reflect.Type
	secret bool
	value  reflect.Value // invalid when an unset pointer is on the way
}

// leavesOf lists the leaves below the struct v in the order of declaration.
// Maps and arrays of tables are leaves: their keys are free.
func leavesOf(v reflect.Value) []leaf { return appendLeaves(nil, v.Type(), v, "") }

func appendLeaves(leaves []leaf, t reflect.Type, v reflect.Value, prefix string) []leaf {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
		if v.IsValid() {
			v = v.Elem() // invalid when nil
		}
	}
	for _, f := range fieldsOf(t) {
		value := reflect.Value{}
		if v.IsValid() {
			value = v.FieldByIndex(f.index)
		}
		key := joinKey(prefix, f.name)
		inner := f.typ
		for kindOf(inner) == kindPointer {
			inner = inner.Elem()
		}
		if kindOf(inner) == kindTable {
			leaves = appendLeaves(leaves, f.typ, value, key)
		} else {
			leaves = append(leaves, leaf{key: key, typ: f.typ, secret: f.secret, value: value})
		}
	}
	return leaves
}

// joinKey appends one piece to a dotted key, quoted where TOML wants it.
func joinKey(prefix, piece string) string {
	if !isBare(piece) {
		piece = quote(piece)
	}
	if prefix == "" {
		return piece
	}
	return prefix + "." + piece
}

// joinIndex appends the number of an array's element to a key.
func joinIndex(prefix string, i int) string { return prefix + "[" + strconv.Itoa(i) + "]" }

// parentKey cuts the last piece or index off; "" at the top.
func parentKey(key string) string {
	for i := len(key) - 1; i > 0; i-- {
		switch key[i] {
		case '.', '[':
			return key[:i]
		case '"': // a quoted piece: go to where it begins
			for i--; i > 0 && !(key[i] == '"' && key[i-1] != '\\'); i-- {
			}
		}
	}
	return ""
}

func isBare(piece string) bool {
	for i := range len(piece) {
		c := piece[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return piece != ""
}

// quote spells s as a basic string of TOML.
func quote(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case r < ' ' || r == 0x7f:
			fmt.Fprintf(&b, `\u%04X`, r)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}
