package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/BurntSushi/toml"
)

// Bounds of what the scanner follows. Values nested deeper and keys that are
// longer, all pieces together, have no line of their own in messages.
const (
	maxDepth = 100
	maxKey   = 1024 // bytes
)

// overlong stands for every key that is too long; no key is spelled like it.
const overlong = "\x00"

// scanLines finds the line (from 1) of every key, section and array element of
// a TOML document. Keys are spelled as joinKey and joinIndex do. The document
// must be well-formed for the answer to be right; any bytes give some answer.
func scanLines(document string) map[string]int {
	s := &scanner{rest: document, line: 1, at: map[string]int{}, implicit: map[string]bool{}, arrays: map[string]int{}}
	for _, mark := range []string{"\xff\xfe", "\xfe\xff", "\ufeff"} { // the parser skips one, too
		if strings.HasPrefix(document, mark) {
			s.rest = document[len(mark):]
			break
		}
	}
	for s.skipBlank(); s.rest != ""; s.skipBlank() {
		before := len(s.rest)
		if s.rest[0] == '[' {
			s.header()
		} else {
			s.keyValue(s.section, 0)
		}
		if len(s.rest) == before {
			s.take(1) // not TOML: go on behind it
		}
	}
	return s.at
}

// scanner walks a document once from front to back.
type scanner struct {
	rest     string
	line     int
	section  string
	at       map[string]int
	implicit map[string]bool // keys seen only as the front of a longer key
	arrays   map[string]int  // elements of arrays of tables so far
}

// header reads [a.b] or [[a.b]].
func (s *scanner) header() {
	s.take(1)
	isArray := strings.HasPrefix(s.rest, "[")
	if isArray {
		s.take(1)
	}
	pieces, line := s.keyPieces(']'), s.line
	s.take(strings.IndexByte(s.rest, ']') + 1)
	if isArray && strings.HasPrefix(s.rest, "]") {
		s.take(1)
	}
	key := ""
	for i, piece := range pieces {
		key = bounded(joinKey(key, piece))
		last := i == len(pieces)-1
		if last && isArray {
			s.mark(key, line, false)
			s.arrays[key]++ // of all overlong ones together: harmless
		}
		s.mark(key, line, !last)
		if n := s.arrays[key]; n > 0 {
			key = bounded(joinIndex(key, n-1))
			s.mark(key, line, !last)
		}
	}
	s.section = key
}

// keyValue reads key = value below prefix.
func (s *scanner) keyValue(prefix string, depth int) {
	pieces, line := s.keyPieces('='), s.line
	equals := strings.HasPrefix(s.rest, "=")
	key := prefix
	for i, piece := range pieces {
		key = bounded(joinKey(key, piece))
		s.mark(key, line, i < len(pieces)-1)
	}
	if equals {
		s.take(1)
		s.value(key, depth)
	}
}

// bounded is key, or overlong, which stays overlong with more behind it.
func bounded(key string) string {
	if len(key) > maxKey || strings.HasPrefix(key, overlong) {
		return overlong
	}
	return key
}

// mark notes the line of a key. Its own place counts more than that of a key
// or section below it; otherwise the first place counts.
func (s *scanner) mark(key string, line int, implicit bool) {
	if key == overlong {
		return
	}
	if _, seen := s.at[key]; seen && (implicit || !s.implicit[key]) {
		return
	}
	s.at[key] = line
	s.implicit[key] = implicit
}

// keyPieces reads a dotted key and stops before end, or before the line's end.
func (s *scanner) keyPieces(end byte) []string {
	var pieces []string
	for {
		s.skipSpace()
		if s.rest == "" {
			return pieces
		}
		switch c := s.rest[0]; {
		case c == end || c == '\n' || c == '#':
			return pieces
		case c == '.':
			s.take(1)
		case c == '"' || c == '\'':
			text := s.takeString()
			pieces = append(pieces, unquote(text))
		default:
			n := strings.IndexAny(s.rest, " \t\r\n.=]#\"'")
			if n < 0 {
				n = len(s.rest)
			}
			pieces = append(pieces, s.rest[:max(n, 1)])
			s.take(max(n, 1))
		}
	}
}

// value reads what stands behind key and marks the elements of arrays and the
// keys of inline tables.
func (s *scanner) value(key string, depth int) {
	s.skipSpace()
	switch {
	case s.rest == "":
	case depth > maxDepth:
		s.take(len(s.rest))
	case s.rest[0] == '"' || s.rest[0] == '\'':
		s.takeString()
	case s.rest[0] == '[':
		s.take(1)
		for i := 0; s.more(']'); i++ {
			element := bounded(joinIndex(key, i))
			s.mark(element, s.line, false)
			s.value(element, depth+1)
		}
	case s.rest[0] == '{':
		s.take(1)
		for s.more('}') {
			s.keyValue(key, depth+1)
		}
	default:
		n := strings.IndexAny(s.rest, ",]}#\r\n")
		if n < 0 {
			n = len(s.rest)
		}
		s.take(n)
	}
}

// more goes to the next element of an array or inline table; it is false at
// its end. It always moves on, so that no document holds the scanner up.
func (s *scanner) more(end byte) bool {
	s.skipBlank()
	for strings.HasPrefix(s.rest, ",") {
		s.take(1)
		s.skipBlank()
	}
	if s.rest == "" {
		return false
	}
	switch s.rest[0] {
	case end:
		s.take(1)
		return false
	case ']', '}', '=': // not TOML
		s.take(len(s.rest))
		return false
	}
	return true
}

// takeString takes a string of any of the four forms, quotes included.
func (s *scanner) takeString() string {
	mark := s.rest[:1]
	long := strings.Repeat(mark, 3)
	if strings.HasPrefix(s.rest, long) {
		i := 3
		for i < len(s.rest) && !strings.HasPrefix(s.rest[i:], long) {
			if mark == `"` && s.rest[i] == '\\' {
				i++
			}
			i++
		}
		for i += 3; i < len(s.rest) && s.rest[i] == mark[0]; i++ {
		} // up to two quotes may stand before the closing three
		return s.take(i)
	}
	i := 1
	for i < len(s.rest) && s.rest[i] != mark[0] && s.rest[i] != '\n' {
		if mark == `"` && s.rest[i] == '\\' {
			i++
		}
		i++
	}
	return s.take(i + 1)
}

// skipBlank passes over white space, line ends and comments.
func (s *scanner) skipBlank() {
	for s.rest != "" {
		switch s.rest[0] {
		case ' ', '\t', '\r', '\n':
			s.take(1)
		case '#':
			n := strings.IndexByte(s.rest, '\n')
			if n < 0 {
				n = len(s.rest)
			}
			s.take(n)
		default:
			return
		}
	}
}

func (s *scanner) skipSpace() { s.take(len(s.rest) - len(strings.TrimLeft(s.rest, " \t\r"))) }

// take moves n bytes on, or to the end, and returns them.
func (s *scanner) take(n int) string {
	text := s.rest[:min(n, len(s.rest))]
	s.rest = s.rest[len(text):]
	s.line += strings.Count(text, "\n")
	return text
}

// unquote gives the content of a quoted key.
func unquote(text string) string {
	inner := strings.Trim(text, text[:1])
	if text[0] == '\'' || !strings.Contains(text, `\`) {
		return inner
	}
	var parsed map[string]any
	if _, err := toml.Decode(text+" = 0", &parsed); err != nil || len(parsed) != 1 {
		return inner
	}
	return slices.Collect(maps.Keys(parsed))[0]
}
