package canon

import (
	"encoding/hex"
	"testing"
)

func TestBytes(t *testing.T) {
	got := hex.EncodeToString(New("d").Raw([]byte{1, 2}).Text("x").Int(-2).Raw(nil))
	const want = "6400" + "00000002" + "0102" + "00000001" + "78" + "00000008" + "fffffffffffffffe" + "00000000"
	if got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// Moving a byte from one field to the next, or from the domain, must show.
func TestDifferentStatementsDiffer(t *testing.T) {
	seen := map[string]int{}
	for i, b := range []Bytes{
		New("a").Text("bc"), New("ab").Text("c"), New("a").Text("b").Text("c"), New("a").Text("bc").Text(""), New("a").Text("").Text("bc"),
		New("a"), New("a").Text(""), New("a").Int(0), New("a").Int(0).Int(0), New("a").Raw(New("a").Text("bc")),
	} {
		if j, twice := seen[string(b)]; twice {
			t.Errorf("statements %d and %d are the same", j, i)
		}
		seen[string(b)] = i
	}
}
