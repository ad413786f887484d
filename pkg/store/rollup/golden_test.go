package rollup

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
)

// goldenRollup reads the example of the format's description: what stands before
// two spaces in the indented lines behind its heading.
func goldenRollup(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("../../../docs/formats/rollup.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, found := strings.Cut(string(text), "\n## Example\n")
	if !found {
		t.Fatal("docs/formats/rollup.md has no example")
	}
	var digits strings.Builder
	for line := range strings.Lines(example) {
		if strings.HasPrefix(line, "## ") {
			break
		}
		if line, indented := strings.CutPrefix(line, "    "); indented {
			bytes, _, _ := strings.Cut(line, "  ")
			digits.WriteString(strings.Join(strings.Fields(bytes), ""))
		}
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// goldenWorld is two minutes of rows: a counter that is reset, a column that never moves, and
// one that is not there at first.
func goldenWorld() world {
	part := block.Part{ID: frame.PartID{0xaa}, Scales: []uint8{0, 2, 1}}
	const start = 1_795_311_000_000
	w := world{parts: []block.Part{part}}
	for _, r := range []struct {
		second int
		a, b   float64
	}{{15, 1000, model.Absent()}, {30, 1010, 0.5}, {45, 3, 0.6}, {60, 13, 0.7}, {75, 20, 0.7}, {90, 25, 0.7}, {105, 25, 0.7}, {120, 40, 0.7}} {
		w.rows = append(w.rows, laneRow{start + model.Millis(r.second)*1000, w.parts, []float64{r.a, 12.25, r.b}})
	}
	return w
}

func sealedWorld(t *testing.T, w world) []byte {
	b := NewBuilder(Minute)
	b.Begin(model.WorkerID{0x11, 0x22}, 1)
	w.append(t, b, 0, len(w.rows))
	return b.Seal(nil)
}

func TestGoldenRollup(t *testing.T) {
	w := goldenWorld()
	got, want := sealedWorld(t, w), goldenRollup(t)
	if string(got) != string(want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	list := buckets(t, NewReader(), Minute, []*block.Block{opened(t, want)}, w.parts[0].ID, 0)
	if len(list) != 2 || list[0].Resets != 1 || list[0].Before != 1010 || list[0].Last != 13 || list[1].Sum != 110 {
		t.Errorf("got %+v", list)
	}
}
