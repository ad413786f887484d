package frame

import (
	"encoding/hex"
	"math"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// unhex reads hexadecimal digits, ignoring space and what follows a | in a line.
func unhex(t *testing.T, text string) []byte {
	t.Helper()
	var digits strings.Builder
	for line := range strings.Lines(text) {
		before, _, _ := strings.Cut(line, "|")
		digits.WriteString(strings.Join(strings.Fields(before), ""))
	}
	b, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantBytes(t *testing.T, what string, got []byte, want string) {
	t.Helper()
	if w := unhex(t, want); string(got) != string(w) {
		t.Errorf("%s:\ngot  %x\nwant %x", what, got, w)
	}
}

const (
	goldenPart = `
		01                                          | version
		01 07 637075                                | text 1, 3 bytes: cpu
		05                                          | 2 families
		01 2d 6e6f64655f6370755f7365636f6e64735f746f74616c | text 2: node_cpu_seconds_total
		01 11 5365636f6e64732e                      | text 3: Seconds.
		01 02                                       | counter, scale 2
		05                                          | 2 series
		05 03 01 03 30 01 09 6d6f6465 01 09 69646c65 | 2 labels: cpu is text 1; 0, mode, idle are new
		05 03 09 0b 01 09 75736572                  | 2 labels: texts 1, 4, 5; user is new
		01 15 6e6f64655f6c6f616431                  | node_load1
		01 01                                       | text 8: no help
		02 00                                       | gauge, scale 0
		03 01                                       | 1 series of no labels`
	goldenPartID = "6d8381cc102942f38dda3afd0a621f2a"
	goldenSchema = `01 03 6d8381cc102942f38dda3afd0a621f2a`
	goldenID     = "0553a06713d3c5168b8f50b811feb610"

	// Columns: node_cpu idle and user at scale 2, node_load1, then nine of widePart.
	goldenKey = `
		10 20bf3a7000d1                      | key frame at 1795311039870
		0553a06713d3c5168b8f50b811feb610     | schema
		03                                   | parts 0 and 1
		0b 05 f44b10 0d                      | 5 bytes; columns 0, 2: +66751, +3
		0b 02 01 040002                      | 5 bytes; second byte of the mask, column 8: +8192`
	goldenDelta = `
		11 20b33c7000d1 03 421f              | delta frame at ...040870, 1 since key, 1000 ms after its base
		03                                   | parts 0 and 1
		07 01 2a03                           | 3 bytes; column 0: +101
		07 02 01 03                          | 3 bytes; column 8: -1, from 8192, so times 4096`
	goldenSame = `11 20a73e7000d1 05 421f 00     | nothing changed`
	goldenOdd  = `
		11 209b407000d1 07 421f              | 3 since key
		03                                   | parts 0 and 1
		23 07                                | 17 bytes; columns 0, 1, 2
		01 42 05                             | escape; +1 in the last place after +1
		01 38 80                             | escape; 7 zero bytes, then 1 to XOR: -0
		01 07 020000000000f8 3f              | escape; 0, then 8 to XOR: absent after 3
		0b 02 01 01 40 05                    | 5 bytes; column 8: escape, +1, which is no multiple of 4096`
	goldenRecord = `
		cb                                   | record of a frame
		15                                   | 10 bytes of seq, stream, payload
		b204 05                              | record 300 of stream 2
		7061796c6f6164                       | payload
		c81ed944                             | CRC-32C`
)

func TestGoldenPartAndSchema(t *testing.T) {
	part, err := AppendPart([]byte("kept"), smallPart())
	if err != nil {
		t.Fatal(err)
	}
	wantBytes(t, "part", part[len("kept"):], goldenPart)
	part = part[len("kept"):]
	if got := PartIDOf(part).String(); got != goldenPartID {
		t.Errorf("part id: got %s, want %s", got, goldenPartID)
	}
	parsed, err := ParsePart(part)
	if err != nil {
		t.Fatal(err)
	}
	if diff := diffText(smallPart(), parsed); diff != "" {
		t.Errorf("parsed part (-want +got):\n%s", diff)
	}
	s := Schema{Parts: []PartID{PartIDOf(part)}}
	wantBytes(t, "schema", AppendSchema(nil, s), goldenSchema)
	if got := s.ID().String(); got != goldenID {
		t.Errorf("schema id: got %s, want %s", got, goldenID)
	}
}

func TestGoldenFrames(t *testing.T) {
	l := layoutOf(t, smallPart(), widePart("w", 9, 0))
	id := SchemaID(unhex(t, goldenID))
	e, d := NewEncoder(l, id, 10), NewDecoder(l, id)
	row := make([]float64, l.Columns())
	at := model.Millis(1795311039870)
	f := func(what, want string, set map[int]float64) {
		t.Helper()
		for column, v := range set {
			row[column] = v
		}
		frame, _ := e.Append(nil, at, row)
		wantBytes(t, what, frame, want)
		if err := d.Decode(unhex(t, want)); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if d.At() != at || !sameBits(d.Row(), row) {
			t.Errorf("%s: got %v at %d, want %v at %d", what, d.Row(), d.At(), row, at)
		}
		at += 1000
	}
	f("key", goldenKey, map[int]float64{0: 667.51, 2: 3, 11: 8192})
	f("delta", goldenDelta, map[int]float64{0: 668.52, 11: 4096})
	f("same", goldenSame, nil)
	f("odd", goldenOdd, map[int]float64{0: math.Nextafter(668.53, 1e9), 1: math.Copysign(0, -1), 2: model.Absent(), 11: 4097})
}

func TestGoldenRecord(t *testing.T) {
	r := Record{Seq: 300, Kind: KindFrame, Stream: 2, Payload: []byte("payload")}
	wantBytes(t, "record", AppendRecord(nil, r), goldenRecord)
	got, n, err := ParseRecord(append(unhex(t, goldenRecord), "more"...))
	if err != nil || n != len(unhex(t, goldenRecord)) {
		t.Errorf("parsed %d bytes, error %v", n, err)
	}
	if diff := diffText(r, got); diff != "" {
		t.Errorf("parsed record (-want +got):\n%s", diff)
	}
}
