package model

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestLine(t *testing.T) {
	f := func(text string, limit int, want string) {
		t.Helper()
		if got := Line(text, limit); got != want {
			t.Errorf("Line(%q, %d) = %q, want %q", text, limit, got, want)
		}
	}
	f("", 0, "")
	f("web-1 in Berlin", 100, "web-1 in Berlin")
	f("web-1", 3, "web")
	f("Köln", 100, "Köln")
	f("Köln", 2, "K") // no half of a character
	f("two\nlines\tand\x00more\x7f", 100, "two?lines?and?more?")
	f("\x1b[2Jgone", 100, "?[2Jgone")
	f("a\u0085b\u2028c\u2029d", 100, "a?b?c?d")
	f("user\u202egnp.exe\u2066", 100, "user?gnp.exe?")
	f("half \xc3", 100, "half ?")
	f("\ufffd", 100, "?")
}

func FuzzLine(f *testing.F) {
	f.Add("a\u202eb\xff", 3)
	f.Fuzz(func(t *testing.T, text string, limit int) {
		got := Line(text, limit)
		if len(got) > max(limit, 0) || len(got) > len(text) || !utf8.ValidString(got) || strings.ContainsAny(got, "\n\r\x1b\u2028") {
			t.Errorf("Line(%q, %d) = %q", text, limit, got)
		}
		if again := Line(got, limit); again != got {
			t.Errorf("%q becomes %q", got, again)
		}
	})
}
