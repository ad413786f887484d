package journal_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/journal"
)

var (
	worker = model.WorkerID{0x77}
	boot   = model.BootID{0: 0xb0, 15: 1}
)

// examples are the entries of docs/formats/journal.md.
func examples() []journal.Entry {
	return []journal.Entry{
		{Kind: journal.KindSession, Session: 300, Source: 7, Backfill: true, Worker: worker, Boot: boot},
		{Kind: journal.KindRecord, Session: 300, Raw: frame.AppendRecord(nil, frame.Record{Seq: 300, Kind: frame.KindFrame, Stream: 2, Payload: []byte("payload")})},
		{Kind: journal.KindBase, Session: 300, Stream: 5, Schema: frame.SchemaID(unhex("0553a06713d3c5168b8f50b811feb610")), State: []byte{0x13, 1}},
		{Kind: journal.KindCoverage, Worker: worker, Boot: boot, Heard: 40000, Intervals: []journal.Interval{{From: 1, To: 100}, {From: 103, To: 103}}},
		{Kind: journal.KindEnd, Source: 7, At: -1},
		{Kind: journal.KindSealed, Volume: 4, Source: 7, Stream: 5},
		{Kind: journal.KindPassed, Session: 300, From: 101, To: 102},
		{Kind: journal.KindRefused, Session: 300, Seq: 104, At: 41000, Samples: 620, Cause: "refused_future"},
	}
}

func unhex(digits string) []byte {
	b, err := hex.DecodeString(digits)
	if err != nil {
		panic(err)
	}
	return b
}

func TestTheDocumentShowsTheBytes(t *testing.T) {
	page, err := os.ReadFile("../../../docs/formats/journal.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "<!-- example -->")
	shown, _, found := strings.Cut(rest, "<!-- end -->")
	if !found {
		t.Fatal("journal.md: no example")
	}
	var digits strings.Builder
	for line := range strings.Lines(shown) {
		if code, _, isCode := strings.Cut(line, "|"); isCode {
			digits.WriteString(strings.Join(strings.Fields(code), ""))
		}
	}
	var want []byte
	for _, e := range examples() {
		if want, err = journal.AppendEntry(want, e); err != nil {
			t.Fatal(err)
		}
	}
	if got := unhex(digits.String()); !bytes.Equal(got, want) {
		t.Errorf("journal.md shows another example:\ngot  %x\nwant %x", got, want)
	}
}

func TestEntriesComeBack(t *testing.T) {
	const top = math.MaxUint64
	for _, want := range append(examples(),
		journal.Entry{Kind: journal.KindSession, Session: top, Source: math.MaxUint32},
		journal.Entry{Kind: journal.KindRecord, Raw: []byte{}},
		journal.Entry{Kind: journal.KindBase, Session: top, Stream: math.MaxUint32, State: []byte{}},
		journal.Entry{Kind: journal.KindCoverage, Heard: math.MinInt64, Intervals: []journal.Interval{}},
		journal.Entry{Kind: journal.KindCoverage, Heard: math.MaxInt64, Intervals: []journal.Interval{{From: 1, To: 1}, {From: 3, To: 3}, {From: top, To: top}}},
		journal.Entry{Kind: journal.KindCoverage, Intervals: []journal.Interval{{From: 1, To: top}}},
		journal.Entry{Kind: journal.KindEnd, At: math.MinInt64},
		journal.Entry{Kind: journal.KindSealed, Volume: top},
		journal.Entry{Kind: journal.KindPassed, From: 1, To: top},
		journal.Entry{Kind: journal.KindPassed, From: top, To: top},
	) {
		b, err := journal.AppendEntry([]byte("kept"), want)
		if err != nil {
			t.Errorf("%+v: %v", want, err)
			continue
		}
		got, err := journal.ParseEntry(b[len("kept"):])
		if err != nil {
			t.Errorf("%+v: %v", want, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%v (-want +got):\n%s", want.Kind, diff)
		}
	}
}

func TestWhatCannotBeWritten(t *testing.T) {
	const top = math.MaxUint64
	coverage := func(list ...journal.Interval) journal.Entry {
		return journal.Entry{Kind: journal.KindCoverage, Intervals: list}
	}
	for _, f := range []struct {
		e    journal.Entry
		want error
	}{
		{coverage(journal.Interval{From: 0, To: 3}), journal.ErrIntervals},
		{coverage(journal.Interval{From: 3, To: 2}), journal.ErrIntervals},
		{coverage(journal.Interval{From: 1, To: 2}, journal.Interval{From: 3, To: 4}), journal.ErrIntervals},
		{coverage(journal.Interval{From: 5, To: 6}, journal.Interval{From: 1, To: 2}), journal.ErrIntervals},
		{coverage(journal.Interval{From: 5, To: top}, journal.Interval{From: 1, To: 2}), journal.ErrIntervals},
		{coverage(journal.Interval{From: 5, To: top - 1}, journal.Interval{From: top, To: top}), journal.ErrIntervals},
		{journal.Entry{Kind: journal.KindPassed, From: 0, To: 1}, journal.ErrIntervals},
		{journal.Entry{Kind: journal.KindPassed, From: 2, To: 1}, journal.ErrIntervals},
		{journal.Entry{}, journal.ErrMalformed},
		{journal.Entry{Kind: 9}, journal.ErrMalformed},
	} {
		dst, err := journal.AppendEntry([]byte("kept"), f.e)
		if !errors.Is(err, f.want) || string(dst) != "kept" {
			t.Errorf("%+v: got %q and %v, want %v", f.e, dst, err, f.want)
		}
	}
}

func TestWhatIsNoEntryIsRefused(t *testing.T) {
	f := func(what string, b []byte, want error) {
		t.Helper()
		if e, err := journal.ParseEntry(b); !errors.Is(err, want) {
			t.Errorf("%s %x: got %+v and %v, want %v", what, b, e, err, want)
		}
	}
	f("nothing", nil, journal.ErrMalformed)
	for _, first := range []byte{0x10, 0x19, 0x1f, 0x01, 0x02, 0x22, 0xff} {
		f("kind or version", []byte{first, 0, 0, 0}, journal.ErrVersion)
		f("kind or version", []byte{first, 0, 0, 0}, durable.ErrNewerFormat)
	}
	for _, e := range examples() {
		b, _ := journal.AppendEntry(nil, e)
		open := e.Kind == journal.KindRecord || e.Kind == journal.KindBase // their last field has any length
		fixed := len(b) - len(e.Raw) - len(e.State)
		for cut := 1; cut < fixed; cut++ {
			f(e.Kind.String()+" cut off", b[:cut], journal.ErrMalformed)
		}
		if !open {
			f(e.Kind.String()+" and more", append(b, 0), journal.ErrMalformed)
		}
	}
	f("flags", slices.Concat(unhex("11010702"), make([]byte, 32)), journal.ErrMalformed)
	f("a number that is too long", unhex("15870001"), journal.ErrMalformed)
	f("a number of 65 bits", unhex("12ffffffffffffffffff02"), journal.ErrMalformed)
	f("a source of 33 bits", unhex("15808080801002"), journal.ErrMalformed)
	f("sequence number 0", unhex("17010000"), journal.ErrMalformed)
	f("beyond the last number", unhex("1701ffffffffffffffffff0101"), journal.ErrMalformed)
	many := slices.Concat([]byte{0x14}, make([]byte, 32), unhex("00ffffffff0f0000"))
	f("more intervals than there are bytes", many, journal.ErrMalformed)
	f("an interval behind the last number", slices.Concat([]byte{0x14}, make([]byte, 32), unhex("000200feffffffffffffffff010000")), journal.ErrMalformed)
}

// FuzzParseEntry: what is taken is written again as the same bytes.
func FuzzParseEntry(f *testing.F) {
	for _, e := range examples() {
		b, err := journal.AppendEntry(nil, e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := journal.ParseEntry(b)
		if err != nil {
			if errors.Is(err, journal.ErrVersion) == errors.Is(err, journal.ErrMalformed) {
				t.Errorf("%x: %v", b, err)
			}
			return
		}
		again, err := journal.AppendEntry(nil, e)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%x: is written as %x, error %v", b, again, err)
		}
	})
}
