package spool

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

var entryOptions = cmp.AllowUnexported(entry{}, lostSeqs{}, interval{}, start{}, definition{}, cursor{}, cursorBoot{})

func sampleEntries() map[string]entry {
	raw := frame.AppendRecord(nil, frame.Record{Seq: 7, Kind: frame.KindEvent, Payload: []byte("e")})
	return map[string]entry{
		"record":  {kind: kindRecord, boot: 3, samples: 500, frames: 2, total: 1000, raw: raw},
		"loss":    {kind: kindLoss, boot: 3, frames: 2, total: 1000, through: 300, lost: []lostSeqs{{2, interval{5, 9}}, {3, interval{1, 1}}}, raw: raw},
		"closed":  {kind: kindClosed, boot: 3, at: time.UnixMilli(1795311000000)},
		"content": {kind: kindContent, def: definition{kind: frame.KindPart, payload: []byte("part")}},
		"mention": {kind: kindMention, boot: 3, def: definition{kind: frame.KindSchema, seq: 4, stream: 1, id: [16]byte{9}}},
		"boot": {kind: kindBoot, boot: 3, start: start{id: model.BootIDFrom([16]byte{1}), worker: model.WorkerIDFrom([16]byte{2}), fleet: "lab",
			started: time.UnixMilli(1795311000000), before: 2, formerSeq: 9, formerFrames: 5, formerTotals: 2500}},
	}
}

// TestEntriesOnDisk is what docs/formats/spool.md says.
func TestEntriesOnDisk(t *testing.T) {
	want := map[string]string{
		"record":  "01 03 f403 02 e807 cc070f0165 8981972b",
		"loss":    "03 03 02 e807 ac02 02 020504 030100 cc070f0165 8981972b",
		"closed":  "04 03 c0d9df00a2010000",
		"content": "05 01 70617274",
		"mention": "06 03 02 04 01 09000000000000000000000000000000",
		"boot":    "02 01 03 00 01000000000040008000000000000000 02000000000040008000000000000000 c0d9df00a2010000 02 09 05 c413 6c6162",
	}
	for name, e := range sampleEntries() {
		encoded := appendEntry(nil, e)
		if got, want := hex.EncodeToString(encoded), strings.ReplaceAll(want[name], " ", ""); got != want {
			t.Errorf("%s: got %s, want %s", name, got, want)
		}
		parsed, err := parseEntry(encoded)
		if diff := cmp.Diff(e, parsed, entryOptions); err != nil || diff != "" {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}

func TestEntriesOfOtherVersionsAreRefused(t *testing.T) {
	boot := appendEntry(nil, sampleEntries()["boot"])
	boot[1] = 2
	for name, b := range map[string][]byte{"kind 0": {0}, "kind 7": {7, 1}, "version 2": boot} {
		if _, err := parseEntry(b); !errors.Is(err, ErrVersion) {
			t.Errorf("%s: got %v, want ErrVersion", name, err)
		}
	}
	for name, b := range map[string][]byte{"cut off": {1, 3}, "too long": append(appendEntry(nil, sampleEntries()["mention"]), 0),
		"a long list": {3, 1, 1, 1, 1, 0xff, 0xff, 0xff, 0x7f}} {
		if _, err := parseEntry(b); !errors.Is(err, errMalformed) {
			t.Errorf("%s: got %v, want errMalformed", name, err)
		}
	}
}

func FuzzParseEntry(f *testing.F) {
	for _, e := range sampleEntries() {
		f.Add(appendEntry(nil, e))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := parseEntry(b)
		if err != nil {
			return
		}
		again, err := parseEntry(appendEntry(nil, e))
		if diff := cmp.Diff(e, again, entryOptions); err != nil || diff != "" {
			t.Errorf("%x: %v\n%s", b, err, diff)
		}
	})
}

func sampleCursor() cursor {
	return cursor{newest: 1795311000000, boots: []cursorBoot{{model.BootIDFrom([16]byte{1}), intervals{{1, 9}, {20, 20}}}, {model.BootIDFrom([16]byte{2}), nil}}}
}

func TestCursor(t *testing.T) {
	encoded := appendCursor(nil, sampleCursor())
	c, err := parseCursor(encoded)
	if diff := cmp.Diff(sampleCursor(), c, entryOptions); err != nil || diff != "" {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
	for at := range encoded {
		for _, bit := range []byte{1, 128} {
			damaged := append([]byte(nil), encoded...)
			damaged[at] ^= bit
			if _, err := parseCursor(damaged); err == nil {
				t.Errorf("byte %d damaged: accepted", at)
			}
		}
		if _, err := parseCursor(encoded[:at]); err == nil {
			t.Errorf("cut off at %d: accepted", at)
		}
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add(appendCursor(nil, sampleCursor()))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := parseCursor(b); err == nil {
			again, err := parseCursor(appendCursor(nil, c))
			if diff := cmp.Diff(c, again, entryOptions); err != nil || diff != "" {
				t.Errorf("%v\n%s", err, diff)
			}
		}
	})
}
