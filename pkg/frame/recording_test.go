package frame

import (
	"math"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/frame/frametest"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestTheRecordingComesBackBitByBit(t *testing.T) {
	whole, err := frametest.Node()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range recordings {
		recording := r.of(whole)
		l, err := NewLayout(recording.Parts)
		if err != nil {
			t.Fatal(err)
		}
		d := NewDecoder(l, SchemaID{1})
		for i, frame := range encodeAll(recording, l, 60) {
			if err := d.Decode(frame); err != nil {
				t.Fatalf("%s: frame %d: %v", r.name, i, err)
			}
			if want := recording.Start + model.Millis(i)*recording.Every; d.At() != want {
				t.Fatalf("%s: frame %d: at %d, want %d", r.name, i, d.At(), want)
			}
			for j, v := range d.Row() {
				if math.Float64bits(v) != math.Float64bits(recording.Rows[i][j]) {
					t.Fatalf("%s: frame %d, column %d: got %v, want %v", r.name, i, j, v, recording.Rows[i][j])
				}
			}
		}
	}
}
