package block

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// goldenBlock reads the example of the format's description: what stands before
// two spaces in the indented lines behind its heading.
func goldenBlock(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("../../../docs/formats/block.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, found := strings.Cut(string(text), "\n## Example\n")
	if !found {
		t.Fatal("docs/formats/block.md has no example")
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

// goldenStretch is five frames; the last two have a second part.
func goldenStretch() stretch {
	a := Part{ID: frame.PartID{0xaa}, Scales: []uint8{2, 0, 0}}
	b := Part{ID: frame.PartID{0xbb}, Scales: []uint8{0}}
	const start = 1795311039000
	return stretch{
		worker: model.WorkerID{0x11, 0x22},
		stream: 1,
		runs: []run{{
			parts: []Part{a},
			times: []int64{start, start + 1000, start + 2001},
			rows:  [][]float64{{667.50, 4096, 0}, {668.51, 8192, 0}, {669.50, 4096, 0}},
		}, {
			parts: []Part{a, b},
			times: []int64{start + 3000, start + 4000},
			rows:  [][]float64{{670.52, 12288, 0, 7}, {671.50, 4096, 0, model.Absent()}},
		}},
	}
}

func TestGoldenBlock(t *testing.T) {
	got, want := goldenStretch().check(t), goldenBlock(t)
	if string(got) != string(want) {
		t.Errorf("got  %x\nwant %x", got, want)
	}
	if err := readAll(want); err != nil {
		t.Error(err)
	}
}
