package config

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"
)

// decoder puts parsed TOML tables into a struct and notes everything that
// does not fit.
type decoder struct {
	place func(key string) Place
	found *problems
	set   map[string]Place // every key that got a value, and where
	only  string           // when not "": note nothing above this key
}

// note remembers where key got its value.
func (d *decoder) note(key string) {
	if strings.HasPrefix(key, d.only) {
		d.set[key] = d.place(key)
	}
}

// table puts raw into v, a struct, keeping the fields that raw does not name.
func (d *decoder) table(v reflect.Value, raw map[string]any, prefix string, secret bool) {
	fields := fieldsOf(v.Type())
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		key := joinKey(prefix, name)
		i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
		if i < 0 {
			d.found.add(d.place(key), key, "unknown key%s", knownKeys(name, fields))
			continue
		}
		d.value(v.FieldByIndex(fields[i].index), raw[name], key, secret || fields[i].secret)
	}
}

// value puts raw, as the TOML parser gives it, into v. What v refers to is
// never changed in place: it may belong to the defaults.
func (d *decoder) value(v reflect.Value, raw any, key string, secret bool) {
	k := kindOf(v.Type())
	switch raw := raw.(type) {
	case map[string]any:
		switch k {
		case kindPointer:
			d.pointer(v, raw, key, secret)
		case kindMap:
			d.mapTable(v, raw, key, secret)
		case kindTable:
			d.table(v, raw, key, secret)
		default:
			d.wrong(v, key, secret, raw)
		}
		d.note(key)
		return
	}
	switch k {
	case kindPointer:
		d.pointer(v, raw, key, secret)
		return
	case kindList:
		d.list(v, raw, key, secret)
	case kindMap, kindTable:
		d.wrong(v, key, secret, raw)
	default:
		d.scalar(v, raw, key, secret)
	}
	d.note(key)
}

func (d *decoder) pointer(v reflect.Value, raw any, key string, secret bool) {
	target := reflect.New(v.Type().Elem())
	if !v.IsNil() {
		target.Elem().Set(v.Elem())
	}
	d.value(target.Elem(), raw, key, secret)
	v.Set(target)
}

// mapTable merges raw into the map v: entries of the same name are merged,
// too, when they are tables.
func (d *decoder) mapTable(v reflect.Value, raw map[string]any, key string, secret bool) {
	t := v.Type()
	merged := reflect.MakeMapWithSize(t, v.Len()+len(raw))
	for old := v.MapRange(); old.Next(); {
		merged.SetMapIndex(old.Key(), old.Value())
	}
	for _, name := range slices.Sorted(maps.Keys(raw)) {
		entry := reflect.New(t.Elem()).Elem()
		mapKey := reflect.ValueOf(name).Convert(t.Key())
		if old := merged.MapIndex(mapKey); old.IsValid() {
			entry.Set(old)
		}
		d.value(entry, raw[name], joinKey(key, name), secret)
		merged.SetMapIndex(mapKey, entry)
	}
	v.Set(merged)
}

// list replaces the slice or array v. The parser gives arrays of values and
// arrays of tables as slices of different types.
func (d *decoder) list(v reflect.Value, raw any, key string, secret bool) {
	given := reflect.ValueOf(raw)
	if given.Kind() != reflect.Slice {
		d.wrong(v, key, secret, raw)
		return
	}
	for old := range d.set { // elements of an earlier file are gone
		if len(old) > len(key) && old[:len(key)] == key && old[len(key)] == '[' {
			delete(d.set, old)
		}
	}
	n, fresh := given.Len(), reflect.New(v.Type()).Elem()
	if fresh.Kind() == reflect.Slice {
		fresh.Set(reflect.MakeSlice(v.Type(), n, n))
	} else if n != fresh.Len() {
		d.found.add(d.place(key), key, "want exactly %d elements, got %d", fresh.Len(), n)
		return
	}
	for i := range n {
		d.value(fresh.Index(i), given.Index(i).Interface(), joinIndex(key, i), secret)
	}
	v.Set(fresh)
}

// scalar puts one value without parts into v.
func (d *decoder) scalar(v reflect.Value, raw any, key string, secret bool) {
	switch k := kindOf(v.Type()); raw := raw.(type) {
	case string:
		if k == kindText || k == kindDuration || k == kindString {
			if err := setText(v, raw); err != nil {
				d.found.add(d.place(key), key, "%s", hide(err.Error(), secret))
			}
			return
		}
	case bool:
		if k == kindBool {
			v.SetBool(raw)
			return
		}
	case int64:
		switch {
		case k == kindInt && !v.OverflowInt(raw):
			v.SetInt(raw)
			return
		case k == kindUint && raw >= 0 && !v.OverflowUint(uint64(raw)):
			v.SetUint(uint64(raw))
			return
		case k == kindFloat:
			v.SetFloat(float64(raw))
			return
		}
	case float64:
		if k == kindFloat && !v.OverflowFloat(raw) {
			v.SetFloat(raw)
			return
		}
	case time.Time:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(raw))
			return
		}
	}
	d.wrong(v, key, secret, raw)
}

// setText reads the text form of v, which is of a kind with one.
func setText(v reflect.Value, text string) error {
	switch kindOf(v.Type()) {
	case kindText:
		want := wanted(v) // before the failure may have changed v
		err := v.Addr().Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
		if err != nil && !strings.Contains(err.Error(), "want") {
			return fmt.Errorf("%w; want %s", err, want)
		}
		return err
	case kindDuration:
		duration, err := time.ParseDuration(text)
		if err != nil {
			return fmt.Errorf("want %s, got %q", wanted(v), clip(text))
		}
		v.SetInt(int64(duration))
	default:
		v.SetString(text)
	}
	return nil
}

// wrong notes that raw does not fit v.
func (d *decoder) wrong(v reflect.Value, key string, secret bool, raw any) {
	got := spell(raw)
	if secret {
		got = typeName(raw) + " (not shown)"
	}
	d.found.add(d.place(key), key, "want %s, got %s", wanted(v), got)
}
