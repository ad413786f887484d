package audit

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestLongestLineIsWithinTheBound(t *testing.T) {
	worst := strings.Repeat("\"", 1<<12)
	e := Entry{At: time.Unix(1, 1), Daemon: worst, Who: worst, What: worst, On: worst, From: worst, Detail: worst, More: map[string]string{}}
	for i := range maxMore {
		e.More[fmt.Sprint(i)+worst] = worst
	}
	line, err := appendLine(nil, e)
	if err != nil || len(line) > maxLine {
		t.Errorf("%d bytes, %v; want at most %d", len(line), err, maxLine)
	}
	if _, ok := parseLine(line[:len(line)-1]); !ok {
		t.Errorf("it does not read back")
	}
}

// FuzzEntry: whatever an entry holds, it is one line that reads back, and reads
// back as itself from then on.
func FuzzEntry(f *testing.F) {
	f.Add("user alice", "a\nb", "\u202e\xff", int64(1_700_000_000_000))
	f.Add(strings.Repeat("\\", 5000), "\x7f", "\u2028", int64(-1))
	f.Fuzz(func(t *testing.T, who, on, key string, at int64) {
		e := Entry{At: time.UnixMilli(at).UTC(), Who: who, What: Login, On: on, Detail: on, From: who, More: map[string]string{key: who}}
		line, err := appendLine(nil, e)
		if err != nil {
			return
		}
		if bytes.Count(line, []byte{'\n'}) != 1 || len(line) > maxLine || line[len(line)-1] != '\n' {
			t.Fatalf("not a line: %q", line)
		}
		read, ok := parseLine(line[:len(line)-1])
		if !ok {
			t.Skip() // the zero time stands for none
		}
		if diff := cmp.Diff(cleaned(e), read); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
	})
}

// FuzzRead: whatever is in the file, reading neither fails nor invents.
func FuzzRead(f *testing.F) {
	f.Add([]byte("{\"at\":\"2026-09-01T12:00:00Z\",\"what\":\"x\"}\n\x00\x00\n{"))
	f.Add(bytes.Repeat([]byte{'x'}, maxLine+1))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := reader{limit: 100}
		if err := r.read(bytes.NewReader(data), int64(len(data))); err != nil {
			t.Fatal(err)
		}
		want := 0
		for line := range bytes.SplitSeq(data, []byte{'\n'}) {
			if _, ok := parseLine(line); ok {
				want++
			}
		}
		if len(r.entries) != min(want, 100) {
			t.Errorf("%d entries, want %d", len(r.entries), min(want, 100))
		}
	})
}

func TestEveryWordIsExplained(t *testing.T) {
	page, err := os.ReadFile("../../docs/formats/audit.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range Words() {
		if !bytes.Contains(page, []byte("`"+word+"`")) {
			t.Errorf("docs/formats/audit.md does not explain %s", word)
		}
	}
}
