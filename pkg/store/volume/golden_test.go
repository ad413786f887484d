package volume

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// example reads the example of a format's description: what stands before two
// spaces in the indented lines behind its heading. A line in brackets stands for
// the block of block.md.
func example(t *testing.T, document string) []byte {
	t.Helper()
	text, err := os.ReadFile("../../../docs/formats/" + document)
	check(t, err)
	_, after, found := strings.Cut(string(text), "\n## Example\n")
	if !found {
		t.Fatalf("%s has no example", document)
	}
	var all []byte
	for line := range strings.Lines(after) {
		if strings.HasPrefix(line, "## ") {
			break
		}
		line, indented := strings.CutPrefix(line, "    ")
		digits, _, _ := strings.Cut(line, "  ")
		switch {
		case !indented:
		case strings.HasPrefix(line, "("):
			all = append(all, example(t, "block.md")...)
		default:
			b, err := hex.DecodeString(strings.Join(strings.Fields(digits), ""))
			check(t, err)
			all = append(all, b...)
		}
	}
	return all
}

// goldenVolume holds the block of block.md, and an entry without a block.
func goldenVolume(t *testing.T) *File {
	t.Helper()
	w, err := Create(dir, 17, Raw, deps(newMemory()))
	check(t, err)
	worker := model.WorkerID{0x11, 0x22}
	hostLabels := []labels.Label{{Name: "instance", Value: "web"}}
	k := KeyOf(worker, hostLabels, 1)
	check(t, w.Add(Entry{Key: k, First: 1795311044000, Last: 1795311044000, Flags: 1}, nil))
	check(t, w.Add(Entry{Key: k}, example(t, "block.md")))
	part, err := frame.AppendPart(nil, model.Part{Collector: "cpu", Families: []model.Family{
		{Name: "node_load", Type: model.Gauge, Series: []model.Labels{nil}},
	}})
	check(t, err)
	check(t, w.Part(part))
	schema := frame.Schema{Parts: []frame.PartID{frame.PartIDOf(part)}}
	check(t, w.Schema(frame.AppendSchema(nil, schema)))
	check(t, w.Source(worker, hostLabels))
	check(t, w.Span(k, schema.ID(), 1795311039000, 1795311043000))
	f, err := w.Commit()
	check(t, err)
	return f
}

func TestGoldenVolume(t *testing.T) {
	f := goldenVolume(t)
	defer f.Release()
	if bad, err := f.Verify(t.Context()); err != nil || len(bad) > 0 {
		t.Fatal(bad, err)
	}
	if want := example(t, "volume.md"); string(f.data) != string(want) {
		t.Errorf("got  %x\nwant %x", f.data, want)
	}
}

func TestKeysStayAsTheyAre(t *testing.T) {
	for _, c := range []struct {
		labels []labels.Label
		want   uint64
	}{
		{nil, 0x987ab3ff9c0b346e},
		{[]labels.Label{{Name: "instance", Value: "web"}}, 0xe8d8088842cee2d5},
		{[]labels.Label{{Name: "instance", Value: "web"}, {Name: "job", Value: "node"}}, 0x5a032a996c549502},
	} {
		if got := KeyOf(model.WorkerID{1}, c.labels, 2); got != (Key{model.WorkerID{1}, c.want, 2}) {
			t.Errorf("%v: got %#x, want %#x", c.labels, got.Labels, c.want)
		}
	}
}
