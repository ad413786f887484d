package ledger

import (
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/event"
)

// examples are the records of docs/formats/gaps.md.
func examples() []*record {
	report := &record{kind: kindReport, worker: workerOf(1), id: 1, boot: bootOf(1), noted: start + 70_000,
		gap: event.Gap{Cause: event.SpoolFull, Boot: bootOf(2), From: start, To: start + 60_000, FirstSeq: 17, LastSeq: 76, Frames: 60, Samples: 30_000, Text: "full"}}
	report.seqs.add(5, 5)
	refusals := &record{kind: kindRefusals, worker: workerOf(1), id: 2, boot: bootOf(1), noted: start + 70_000,
		gap: event.Gap{Cause: event.RefusedFuture, From: start, To: start + 15_000, Frames: 3, Samples: 1500}}
	refusals.seqs.add(300, 301)
	refusals.seqs.add(304, 304)
	whole := *refusals
	whole.kind = kindEntry
	earlier := &record{kind: kindEarlier, worker: workerOf(1), id: 1, sums: []sum{{Total{event.SpoolFull, 1, start, start + 60_000, 60, 30_000}, start + 70_000}}}
	return []*record{report, refusals, &whole, earlier}
}

func TestGoldenRecords(t *testing.T) {
	want := []string{
		"11 01 01000000000040008000000000000000 b0010000000040008000000000000000 c0b3ff86a034 e0d403 b0d68387a034 0a73706f6f6c5f66756c6c 3c b0ea01 0466756c6c 05 b0020000000040008000000000000000 11 3b",
		"12 02 01000000000040008000000000000000 b0010000000040008000000000000000 c0b3ff86a034 9875 b0d68387a034 0e726566757365645f667574757265 03 dc0b 00 02 ac02 01 03 00",
		"13 02 01000000000040008000000000000000 b0010000000040008000000000000000 c0b3ff86a034 9875 b0d68387a034 0e726566757365645f667574757265 03 dc0b 00 02 ac02 01 03 00",
		"14 01 01000000000040008000000000000000 01 c0b3ff86a034 e0d403 b0d68387a034 0a73706f6f6c5f66756c6c 3c b0ea01 01",
	}
	for i, r := range examples() {
		encoded := appendRecord(nil, r)
		if got := hex.EncodeToString(encoded); got != strings.ReplaceAll(want[i], " ", "") {
			t.Errorf("got  %s\nwant %s", got, want[i])
		}
		parsed, err := parseRecord(encoded)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r, parsed, cmp.AllowUnexported(record{}, seqs{}, sum{})); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

func TestWhatIsNoRecord(t *testing.T) {
	f := func(bad []byte) {
		t.Helper()
		if r, err := parseRecord(bad); !errors.Is(err, errMalformed) {
			t.Errorf("%x: got %+v, %v", bad, r, err)
		}
	}
	f(nil)
	f([]byte{0x10})
	f([]byte{0x15})
	f([]byte{0x01})
	if _, err := parseRecord([]byte{0x21}); !errors.Is(err, durable.ErrNewerFormat) {
		t.Errorf("a newer version: got %v", err)
	}
	for i, r := range examples() {
		good := appendRecord(nil, r)
		for n := range good {
			f(good[:n])
		}
		f(append(good, 0))
		change := func(what func(r *record)) {
			t.Helper()
			changed := *examples()[i]
			what(&changed)
			f(appendRecord(nil, &changed))
		}
		change(func(r *record) { r.id = 0 })
		change(func(r *record) { r.worker = workerOf(0); clear(r.worker[:]) })
		if r.kind == kindEarlier {
			change(func(r *record) { r.sums = nil })
			change(func(r *record) { r.sums = append(r.sums, r.sums[0]) })
			change(func(r *record) { r.sums[0].Cause = "No" })
			change(func(r *record) { r.sums[0].Entries = 0 })
			change(func(r *record) { r.sums[0].From = -1 })
			continue
		}
		change(func(r *record) { clear(r.boot[:]) })
		change(func(r *record) { r.noted = event.MaxTime + 1 })
		change(func(r *record) { r.gap.To = event.MaxTime + 1 })
		change(func(r *record) { r.gap.Cause = "" })
		change(func(r *record) { r.gap.Text = strings.Repeat("x", event.MaxText+1) })
		change(func(r *record) { r.gap.Text = "\n" })
		if r.kind == kindReport {
			change(func(r *record) { r.gap.FirstSeq = 0 })
			change(func(r *record) { r.seqs.last = 0 })
		} else {
			change(func(r *record) { r.gap.Frames = 0 })
			change(func(r *record) { r.seqs.runs = 1 })
			change(func(r *record) { r.seqs.start = r.seqs.end + 1 })
			change(func(r *record) { r.seqs.start = r.seqs.end })
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	for _, r := range examples() {
		f.Add(appendRecord(nil, r))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err != nil {
			if !errors.Is(err, errMalformed) && !errors.Is(err, durable.ErrNewerFormat) {
				t.Errorf("error of another kind: %v", err)
			}
			return
		}
		if again := appendRecord(nil, r); string(again) != string(b) {
			t.Errorf("read and written again:\ngot  %x\nwant %x", again, b)
		}
	})
}

// FuzzSeqs compares the set with the plainest there is.
func FuzzSeqs(f *testing.F) {
	f.Add([]byte{1, 1, 1, 5, 200, 1, 0, 3})
	f.Fuzz(func(t *testing.T, steps []byte) {
		var s, parts, part seqs
		plain := map[uint64]bool{}
		at := uint64(0)
		for i, step := range steps {
			from := at + uint64(step)
			last := from + uint64(step%3)
			if added := s.add(from, last); added != (step > 0) {
				t.Fatalf("%d to %d behind %d: added is %t", from, last, at, added)
			}
			if step == 0 {
				continue
			}
			part.add(from, last)
			for seq := from; seq <= last; seq++ {
				plain[seq] = true
			}
			if at = last; i%4 == 3 {
				parts.join(&part)
				part = seqs{}
			}
		}
		parts.join(&part)
		if s.count != uint64(len(plain)) || s.count > 0 && parts.join(&s) {
			t.Errorf("%d numbers, want %d", s.count, len(plain))
		}
		if diff := cmp.Diff(s, parts, cmp.AllowUnexported(seqs{})); diff != "" {
			t.Errorf("at once and in parts:\n%s", diff)
		}
		for seq := range at + 3 {
			if s.has(seq) != plain[seq] {
				t.Errorf("%d: has is %t", seq, s.has(seq))
			}
		}
	})
}
