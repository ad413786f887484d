package model

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// Line makes text that somebody else has written one line of at most limit bytes
// that shows all of itself. Whatever is no visible character becomes a question
// mark: control characters, ends of lines and paragraphs, marks that turn the
// direction of writing, damaged UTF-8. It is never longer than text.
func Line(text string, limit int) string {
	good := len(text) <= limit
	for i := 0; good && i < len(text); i++ {
		good = text[i] >= ' ' && text[i] < 0x7f
	}
	if good {
		return text
	}
	var line strings.Builder
	for _, r := range text {
		if r == utf8.RuneError || !unicode.IsGraphic(r) {
			r = '?'
		}
		if line.Len()+utf8.RuneLen(r) > limit {
			break
		}
		line.WriteRune(r)
	}
	return line.String()
}
