package config

import (
	"regexp"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"github.com/google/go-cmp/cmp"
)

func TestLinesOf(t *testing.T) {
	for _, test := range []struct {
		name, document string
		want           map[string]int
	}{
		{"nothing", "", map[string]int{}},
		{"comments only", "# a = 1\n\n  # [b]", map[string]int{}},
		{"keys", "a = 1\n\nb = 2 # c = 3\r\nd=4", map[string]int{"a": 1, "b": 3, "d": 4}},
		{"byte order mark", "\ufeffa = 1", map[string]int{"a": 1}},
		{"sections", "[s]\na = 1\n[ s . t ]\nb = 2", map[string]int{"s": 1, "s.a": 2, "s.t": 3, "s.t.b": 4}},
		{"a section below comes first", "[s.t]\nb = 2\n[s]\na = 1", map[string]int{"s": 3, "s.a": 4, "s.t": 1, "s.t.b": 2}},
		{"dotted keys", "a.b . c = 1\na.d = 2", map[string]int{"a": 1, "a.b": 1, "a.b.c": 1, "a.d": 2}},
		{"quoted keys", "\"a.b\" = 1\n'c#' = 2\n\"\\u0041\" = 3\n\"\" = 4\n[\"x]\".'y']\nz = 5",
			map[string]int{`"a.b"`: 1, `"c#"`: 2, "A": 3, `""`: 4, `"x]"`: 5, `"x]".y`: 5, `"x]".y.z`: 6}},
		{"arrays of tables", "[[r]]\na = 1\n[[r]]\na = 2\n[r.s]\nb = 3\n[[r.t]]\nc = 4\n[[r]]\n[[r.t]]", map[string]int{
			"r": 1, "r[0]": 1, "r[0].a": 2, "r[1]": 3, "r[1].a": 4, "r[1].s": 5, "r[1].s.b": 6, "r[1].t": 7, "r[1].t[0]": 7,
			"r[1].t[0].c": 8, "r[2]": 9, "r[2].t": 10, "r[2].t[0]": 10}},
		{"strings", "a = \"x # \\\" y = 1\"\nb = 'c:\\'\nc = '''\nd = 1\n''''\ne = \"\"\"\nf = 1 \\\"\"\" \"\"\"\"\"\ng = 7",
			map[string]int{"a": 1, "b": 2, "c": 3, "e": 6, "g": 8}},
		{"arrays", "a = [ # x\n 1,\n [2,\n 3], \"]\", ]\nb = 4", map[string]int{
			"a": 1, "a[0]": 2, "a[1]": 3, "a[1][0]": 3, "a[1][1]": 4, "a[2]": 4, "b": 5}},
		{"inline tables", "a = { b = 1, c.d = [ { e = 2 } ],\n f = { } }\ng = 3", map[string]int{
			"a": 1, "a.b": 1, "a.c": 1, "a.c.d": 1, "a.c.d[0]": 1, "a.c.d[0].e": 1, "a.f": 2, "g": 3}},
		{"times", "a = 1979-05-27 07:32:00Z # x\nb = 1", map[string]int{"a": 1, "b": 2}},
	} {
		if diff := cmp.Diff(test.want, LinesOf(test.document)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", test.name, diff)
		}
		if _, err := toml.Decode(test.document, new(map[string]any)); err != nil {
			t.Errorf("%s: the test is not TOML: %v", test.name, err)
		}
	}
}

// TestHostileShapes would take minutes or gigabytes if keys grew with them.
func TestHostileShapes(t *testing.T) {
	long := strings.Repeat("k", 50_000)
	for name, document := range map[string]string{
		"many pieces":            strings.Repeat("a.", 50_000) + "a = 1",
		"a section of many":      "[" + strings.Repeat("a.", 50_000) + "a]\nb = 1",
		"keys in a long section": "[" + long + "]\n" + strings.Repeat("a = 1\n", 20_000),
		"a long array":           long + " = [" + strings.Repeat("1,", 50_000) + "]",
		"no TOML, only brackets": strings.Repeat("]", 100_000),
		"tables in a long array": strings.Repeat("[["+long[:900]+"]]\n", 1000),
		"a long key within":      "a = { " + strings.Repeat(long[:900]+".", 500) + "b = 1 }",
	} {
		if lines := LinesOf(document); len(lines) > 2500 {
			t.Errorf("%s: got %d lines", name, len(lines))
		}
	}
}

func TestDeepNestingEnds(t *testing.T) {
	document := "a = " + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000)
	if lines := LinesOf(document); len(lines) > maxDepth+3 {
		t.Errorf("got %d lines from a nested array, want at most %d", len(lines), maxDepth+3)
	}
}

// FuzzLinesOf compares the scanner with the TOML parser: of every well-formed
// document they find the same keys, and no other bytes do harm.
func FuzzLinesOf(f *testing.F) {
	for _, seed := range []string{"a = 1\n[b.c]\nd = { e = [1, 'x'] }\n[[f]]\n\"g h\" = '''\n'''", "[[a.b]]\n[a.b.c]\nd.e = 1",
		"a = \"\"\"x\\\"\"\"\"\"\nb=2", "a=[[[\n]]]", "\"\\x41\" = 1\n'' = 2", "[a]\nb=1979-05-27T07:32:00Z#c", "a = {\n b = 1, # x\n}"} {
		f.Add(seed)
	}
	index := regexp.MustCompile(`("(?:[^"\\]|\\.)*")|\[\d+\]`)
	f.Fuzz(func(t *testing.T, document string) {
		lines := LinesOf(document)
		found := map[string]bool{}
		count := strings.Count(document, "\n") + 1
		for key, line := range lines {
			if line < 1 || line > count {
				t.Errorf("key %s in line %d of %d", key, line, count)
			}
			found[index.ReplaceAllString(key, "$1")] = true
		}
		meta, err := toml.Decode(document, new(map[string]any))
		if err != nil || len(document) > maxKey/2 || strings.Count(document, "[")+strings.Count(document, "{") > maxDepth {
			return
		}
		known := map[string]bool{}
		for _, pieces := range meta.Keys() {
			key := ""
			for _, piece := range pieces {
				key = joinKey(key, piece)
				known[key] = true // the parser leaves implicit tables out
			}
			if !found[key] {
				t.Errorf("the parser knows the key %s, the scanner does not: %q", key, document)
			}
		}
		for key := range found {
			if !known[key] {
				t.Errorf("the scanner found the key %s, which the parser does not know: %q", key, document)
			}
		}
	})
}
