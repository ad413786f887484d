package schemas

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// golden are the records of docs/formats/schemas.md.
var golden = []string{
	`11  01 01 07 637075 03 01 13 6e6f64655f6c6f6164 01 01 02 00 03 01`,
	`12  01 03 411176191d414080352430ce9e837f21`,
	`13  01 00010203040546078809 0a0b0c0d0e0f 02 08 696e7374616e6365 03 776562 03 6a6f62 04 6e6f6465`,
	`14  01 01 02 4d694c8b9ef7601cea4073bf61059ff4 80e7fe8dc068 00`,
	`14  01 01 02 4d694c8b9ef7601cea4073bf61059ff4 80e7fe8dc068 d47a`,
}

func goldenRecord(tb testing.TB, text string) []byte {
	tb.Helper()
	record, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		tb.Fatal(err)
	}
	return record
}

// goldenBook makes what golden says, by calls.
func goldenBook(tb testing.TB) *book {
	b := newBook(tb)
	id := b.schema(b.part(model.Part{Collector: "cpu", Families: []model.Family{{Name: "node_load", Type: model.Gauge, Series: []model.Labels{nil}}}}))
	worker := model.WorkerIDFrom([16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15})
	record, s, err := b.AddSource(nil, worker, labels.FromStrings("instance", "web", "job", "node"))
	b.keep(record, err)
	b.use(s, 2, id, 1795311000000).Extend(1795311015700)
	b.keep(nil, b.Bounds(func(record []byte) error { b.keep(bytes.Clone(record), nil); return nil }))
	return b
}

func TestGoldenRecords(t *testing.T) {
	b := goldenBook(t)
	if len(b.log) != len(golden) {
		t.Fatalf("%d records, want %d", len(b.log), len(golden))
	}
	for i, text := range golden {
		if want := goldenRecord(t, text); !bytes.Equal(b.log[i], want) {
			t.Errorf("record %d:\n got %x\nwant %x", i, b.log[i], want)
		}
	}
	d := reloaded(t, b.log)
	if diff := cmp.Diff(b.Stats(), d.Stats()); diff != "" {
		t.Errorf("loaded (-want +got):\n%s", diff)
	}
}

func TestRecordsMayComeAgain(t *testing.T) {
	for seed := range uint64(20) {
		rnd := rand.New(rand.NewPCG(seed, 4))
		w := newWorld(t, rnd)
		if err := w.Bounds(func(record []byte) error { w.keep(bytes.Clone(record), nil); return nil }); err != nil {
			t.Fatal(err)
		}
		if err := w.Bounds(func(record []byte) error { t.Error("bounds that are noted come again"); return nil }); err != nil {
			t.Fatal(err)
		}
		d := reloaded(t, append(append([][]byte{}, w.log...), w.log...))
		if got, want := d.Stats(), w.Stats(); got != want {
			t.Fatalf("loaded twice: %+v, want %+v", got, want)
		}
		if err := d.Bounds(func(record []byte) error { t.Errorf("bounds that were loaded come again: %x", record); return nil }); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBoundsComeAgainWhenTheyWereNotWritten(t *testing.T) {
	b := goldenBook(t)
	full := errors.New("disk full")
	for _, s := range b.sources {
		s.spans[0].Extend(1795311030700)
	}
	if err := b.Bounds(func([]byte) error { return full }); err != full {
		t.Fatalf("got %v, want %v", err, full)
	}
	n := 0
	if err := b.Bounds(func([]byte) error { n++; return nil }); err != nil || n != 1 {
		t.Fatalf("%d records, %v; want 1", n, err)
	}
}

func TestDamagedRecordsAreRefused(t *testing.T) {
	b := goldenBook(t)
	for _, fact := range []struct {
		what   string
		record string
		want   error
	}{
		{"nothing", "", ErrMalformed},
		{"version 2", "21 00", ErrVersion},
		{"kind 5", "15 00", ErrVersion},
		{"part cut off", golden[0][:len(golden[0])-3], frame.ErrMalformed},
		{"schema of an unknown part", strings.Replace(golden[1], "4111", "4112", 1), ErrUnknownPart},
		{"source of number 0", strings.Replace(golden[2], "13  01", "13  00", 1), ErrMalformed},
		{"source of a long number", strings.Replace(golden[2], "13  01", "13  8100", 1), ErrMalformed},
		{"source with another name", strings.Replace(golden[2], "776562", "776563", 1), ErrMalformed},
		{"source with something behind", golden[2] + "00", ErrMalformed},
		{"source with unsorted labels", "13 07 00010203040546078809 0a0b0c0d0e0f 02 01 62 01 62 01 61 01 61", ErrMalformed},
		{"source without a value", "13 07 00010203040546078809 0a0b0c0d0e0f 01 01 62 00", ErrLabels},
		{"no span", "14 00", ErrMalformed},
		{"more spans than bytes", "14 ff01 00", ErrMalformed},
		{"span of an unknown source", strings.Replace(golden[3], "14  01 01", "14  01 02", 1), ErrUnknownSource},
		{"span of an unknown schema", strings.Replace(golden[3], "4d69", "4d68", 1), ErrUnknownSchema},
		{"span that ends never", golden[3][:len(golden[3])-2] + "ffffffffffffffffff01", ErrMalformed},
		{"span with something behind", golden[3] + " 00", ErrMalformed},
	} {
		was := b.Stats()
		if err := b.Load(goldenRecord(t, fact.record)); !errors.Is(err, fact.want) {
			t.Errorf("%s: %v, want %v", fact.what, err, fact.want)
		}
		if now := b.Stats(); now != was {
			t.Errorf("%s: %+v, before it was %+v", fact.what, now, was)
		}
	}
}

// TestASourceThatWasForgottenAndComesAgain has another number than before in the same log.
func TestASourceThatWasForgottenAndComesAgain(t *testing.T) {
	b := goldenBook(t)
	again := goldenRecord(t, strings.Replace(golden[2], "13  01", "13  07", 1))
	span := goldenRecord(t, strings.Replace(golden[3], "14  01 01", "14  01 07", 1))
	if err := errors.Join(b.Load(again), b.Load(span), b.Load(again)); err != nil {
		t.Fatal(err)
	}
	if one, seven := b.Source(1), b.Source(7); one == nil || one != seven || seven.Number() != 7 {
		t.Errorf("numbers 1 and 7 are %v and %v, want one source of number 7", one, seven)
	}
	if n := b.Stats().Sources; n != 1 {
		t.Errorf("%d sources, want 1", n)
	}
	record, next, err := b.AddSource(nil, b.Source(7).worker, labels.FromStrings("instance", "other"))
	if err != nil || next.Number() != 8 || len(record) == 0 {
		t.Errorf("the next source: %v, %v", next, err)
	}
	for range 3 {
		b.Forget(math.MaxInt64)
	}
	if b.Source(1) != nil || b.Source(7) != nil {
		t.Error("a number is left of a source that is forgotten")
	}
}

func TestARecordOfSpansIsTakenWholeOrNotAtAll(t *testing.T) {
	b := goldenBook(t)
	whole := goldenRecord(t, golden[4])
	record := append([]byte{spansRecord, 2}, whole[2:]...)
	other := append([]byte(nil), whole[2:]...)
	other[1] = 9 // stream 9
	if err := b.Load(append(append([]byte(nil), record...), 0x05)); err == nil {
		t.Fatal("a record with half a span is taken")
	}
	if n := b.Stats().Spans; n != 1 {
		t.Fatalf("%d spans, want 1", n)
	}
	if err := b.Load(append(record, other...)); err != nil || b.Stats().Spans != 2 {
		t.Fatalf("%v, %d spans, want 2", err, b.Stats().Spans)
	}
}

func FuzzLoad(f *testing.F) {
	b := goldenBook(f)
	for _, record := range b.log {
		f.Add(record)
	}
	w := newWorld(f, rand.New(rand.NewPCG(1, 5)))
	for _, record := range w.log {
		f.Add(record)
	}
	f.Fuzz(func(t *testing.T, record []byte) {
		b := goldenBook(t)
		was := b.Stats()
		if err := b.Load(record); err != nil {
			if now := b.Stats(); now != was {
				t.Fatalf("refused with %v, but %+v has become %+v", err, was, now)
			}
			if !typed(err) {
				t.Fatalf("refused without a reason: %v", err)
			}
			return
		}
		if grown := b.Stats().Bytes - was.Bytes; grown > 1000+600*int64(len(record)) {
			t.Fatalf("%d bytes of record take %d bytes", len(record), grown)
		}
		var log [][]byte
		if err := b.Snapshot(func(record []byte) error { log = append(log, bytes.Clone(record)); return nil }); err != nil {
			t.Fatal(err)
		}
		if got, want := reloaded(t, log).Stats(), b.Stats(); got != want {
			t.Fatalf("from a snapshot: %+v, want %+v", got, want)
		}
	})
}

func typed(err error) bool {
	for _, reason := range []error{ErrUnknownPart, ErrUnknownSchema, ErrUnknownSource, ErrShared, ErrLabels, ErrLimit, ErrVersion, ErrMalformed,
		frame.ErrVersion, frame.ErrLimit, frame.ErrMalformed, frame.ErrInvalid} {
		if errors.Is(err, reason) {
			return true
		}
	}
	return false
}
