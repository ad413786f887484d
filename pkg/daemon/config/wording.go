package config

import (
	"encoding"
	"fmt"
	"reflect"
	"time"
)

// wanted describes in words what v takes; its present value, a default, serves
// as the example.
func wanted(v reflect.Value) string {
	switch kindOf(v.Type()) {
	case kindPointer:
		return wanted(reflect.New(v.Type().Elem()).Elem())
	case kindText:
		if text := example(v); text != "" {
			return "a string like " + quote(text)
		}
		return "a string"
	case kindDuration:
		return `a duration like "10s" or "1m30s"`
	case kindString:
		return "a string"
	case kindBool:
		return "true or false"
	case kindInt:
		if bits := v.Type().Bits(); bits < 64 {
			return fmt.Sprintf("a whole number from %d to %d", -1<<(bits-1), 1<<(bits-1)-1)
		}
		return "a whole number"
	case kindUint:
		if bits := v.Type().Bits(); bits < 64 {
			return fmt.Sprintf("a whole number from 0 to %d", uint64(1)<<bits-1)
		}
		return "a whole number, 0 or more"
	case kindFloat:
		return "a number"
	case kindList:
		if isTableArray(v.Type()) {
			return "an array of tables, [[...]]"
		}
		return "an array"
	}
	return "a table"
}

// example gives the text of v when it is a useful one.
func example(v reflect.Value) string {
	marshaler, ok := v.Interface().(encoding.TextMarshaler)
	if !ok || v.IsZero() {
		return ""
	}
	text, err := marshaler.MarshalText()
	if err != nil {
		return ""
	}
	return string(text)
}

// spell shows a parsed value as it would be written.
func spell(raw any) string {
	switch raw := raw.(type) {
	case string:
		return "the string " + quote(clip(raw))
	case time.Time:
		return "the time " + raw.Format(time.RFC3339)
	case bool, int64, float64:
		return fmt.Sprintf("%s %v", typeName(raw), raw)
	}
	return typeName(raw)
}

func typeName(raw any) string {
	switch raw.(type) {
	case string:
		return "a string"
	case bool:
		return "the truth value"
	case int64, float64:
		return "the number"
	case time.Time:
		return "a time"
	case map[string]any:
		return "a table"
	}
	return "an array"
}

// hide keeps messages about secrets free of them.
func hide(message string, secret bool) string {
	if secret {
		return "not a good value (not shown, as it is secret)"
	}
	return message
}

// clip shortens foreign text for a message.
func clip(text string) string {
	const most = 64
	if len(text) > most {
		return text[:most] + "..."
	}
	return text
}
