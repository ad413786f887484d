package feed

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/store/head"
)

func TestWhatCannotBeWrittenLeavesNothing(t *testing.T) {
	disk := errors.New("disk on fire")
	refuse := func(cause head.Cause, skipped bool) error { return &head.Refusal{Cause: cause, Skipped: skipped} }
	for name, c := range map[string]struct {
		kind     frame.Kind
		times    int // how often it fails
		err      error
		fails    bool // the commit
		sessions int
	}{
		"a part that was forgotten": {frame.KindSchema, 1, refuse(head.CauseUnknownPart, false), false, 2},
		"another session":           {frame.KindFrame, 1, refuse(head.CauseSuperseded, false), false, 2},
		"and again":                 {frame.KindFrame, 2, refuse(head.CauseUnknownSchema, false), true, 3},
		"too many new series":       {frame.KindSchema, 1, refuse(head.CauseTooManyNew, true), true, 1},
		"no memory for names":       {frame.KindPart, 1, refuse(head.CausePartsFull, false), true, 2},
		"too many spans":            {frame.KindFrame, 1, refuse(head.CausePartsFull, false), true, 2},
		"a disk that fails":         {frame.KindFrame, 1, disk, true, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSink(t, 100)
			at := s.now.UnixMilli()
			if err := s.commit(at, upTo(20)...); err != nil {
				t.Fatal(err)
			}
			left := c.times
			s.fails = func(r frame.Record) error {
				if r.Kind != c.kind || left == 0 {
					return nil
				}
				left--
				return c.err
			}
			err := s.commit(at+1, 20, 21, 22)
			if c.fails != (err != nil) || err != nil && !errors.Is(err, c.err) {
				t.Fatalf("commit: %v, want %v", err, c.err)
			}
			want := 23
			if c.fails {
				want = 20
			}
			if n := s.feed.Stats().Series; n != want {
				t.Errorf("%d series, want %d", n, want)
			}
			if err := s.commit(at+2, upTo(23)...); err != nil {
				t.Fatal(err)
			}
			s.has(at, upTo(20)...)
			s.has(at+2, upTo(23)...)
			if !c.fails {
				s.has(at+1, 20, 21, 22)
			}
			if s.sessions != c.sessions {
				t.Errorf("%d sessions, want %d", s.sessions, c.sessions)
			}
		})
	}
}

// When series come one by one the parts that are made are not as large as if each had all
// series before it.
func TestSheetsGrowInSteps(t *testing.T) {
	s := newSink(t, 10_000)
	at := s.now.UnixMilli()
	const n = 2000
	for i := range n {
		if err := s.commit(at, i); err != nil {
			t.Fatal(err)
		}
	}
	s.has(at, upTo(n)...)
	most := 0
	for _, st := range s.feed.streams {
		most = max(most, len(st.sheets))
	}
	if stats := s.feed.Stats(); stats.Streams != 4 || most > 10 {
		t.Errorf("%d streams, of at most %d sheets", stats.Streams, most)
	}
	if each := s.bytes / n; each > 250 {
		t.Errorf("%d bytes of parts for each series", each)
	}
}

// A part must fit into a record.
func TestLongLabels(t *testing.T) {
	s := newSink(t, 1000)
	a := s.feed.Appender(context.Background())
	for i := range 400 {
		l := labels.FromStrings(labels.MetricName, "m", "n", strings.Repeat("x", 4000)+string(rune('a'+i%26))+strings.Repeat("y", i/26))
		if _, err := a.Append(0, l, s.now.UnixMilli(), 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
	if len(s.got) != 400 || s.records[frame.KindPart] < 3 {
		t.Errorf("%d samples, %d parts", len(s.got), s.records[frame.KindPart])
	}
}

func TestDecimals(t *testing.T) {
	for v, want := range map[float64]uint8{0: 0, 1: 0, -12: 0, 0.5: 1, 12.25: 2, 0.001: 3, 1.0 / 3: 0, 1e300: 0, 123456.789: 3, 1e-9: 9, 1e-10: 0} {
		if got := decimals(v); got != want {
			t.Errorf("%v: %d digits, want %d", v, got, want)
		}
	}
}

func TestAFeedIsAWorkerOfItsName(t *testing.T) {
	if WorkerOf("rules") != WorkerOf("rules") || WorkerOf("rules") == WorkerOf("write") || WorkerOf("rules").IsZero() {
		t.Errorf("rules is %v, write is %v", WorkerOf("rules"), WorkerOf("write"))
	}
}
