package kernel

import "strings"

// ParseOSRelease reads os-release(5): assignments as a shell would read them,
// one a line, values bare or in single or double quotes.
func ParseOSRelease(b []byte) (map[string]string, error) {
	values := map[string]string{}
	for number := 1; len(b) > 0; number++ {
		var raw []byte
		raw, b = cutLine(b)
		line := strings.TrimSpace(string(raw))
		if line == "" || line[0] == '#' {
			continue
		}
		name, text, found := strings.Cut(line, "=")
		name = strings.TrimSpace(name)
		if !found || !isShellName(name) {
			return nil, formatError("os-release", number, "NAME=value", raw)
		}
		value, ok := unquote(strings.TrimSpace(text))
		if !ok {
			return nil, formatError("os-release", number, "a closing quote", raw)
		}
		values[name] = value
	}
	return values, nil
}

func isShellName(name string) bool {
	for i, c := range name {
		letter := c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != ""
}

// unquote reads a value made of bare and quoted pieces. White space outside
// quotes should end it, as it would in a shell, but there are hand-written
// files with bare names of two words; only a comment ends it.
func unquote(text string) (word string, ok bool) {
	var plain strings.Builder
	var quote byte
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && quote == '"':
			// Between double quotes only these four can be escaped.
			if i+1 < len(text) && strings.IndexByte("\"$\\`", text[i+1]) >= 0 {
				i++
			}
			plain.WriteByte(text[i])
		case c == '\\' && quote == 0:
			if i++; i < len(text) {
				plain.WriteByte(text[i])
			}
		case c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0 && isBlank(c) && strings.HasPrefix(strings.TrimLeft(text[i:], " \t\r"), "#"):
			return plain.String(), true
		default:
			plain.WriteByte(c)
		}
	}
	return plain.String(), quote == 0
}
