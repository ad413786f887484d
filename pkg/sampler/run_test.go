package sampler

import (
	"context"
	"errors"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/kernel"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// receiver is an output that decodes what it is given, as a collector would,
// and insists on the order of records.
type receiver struct {
	t       *testing.T
	refuse  func(kind frame.Kind) error
	kinds   []frame.Kind
	parts   map[frame.PartID]model.Part
	schemas map[frame.SchemaID]*frame.Layout
	decoder *frame.Decoder
	schema  []model.Part
	rounds  []Snapshot
	keys    []bool
	gaps    []event.Gap
}

func newReceiver(t *testing.T) *receiver {
	return &receiver{t: t, parts: map[frame.PartID]model.Part{}, schemas: map[frame.SchemaID]*frame.Layout{}}
}

func (r *receiver) Append(kind frame.Kind, stream model.StreamID, key bool, payload []byte, samples int) (uint64, error) {
	r.t.Helper()
	if r.refuse != nil {
		if err := r.refuse(kind); err != nil {
			return 0, err
		}
	}
	r.kinds = append(r.kinds, kind)
	if wantStream := map[frame.Kind]model.StreamID{frame.KindPart: 0}[kind]; kind == frame.KindPart && stream != wantStream {
		r.t.Errorf("a part in stream %d", stream)
	} else if kind != frame.KindPart && stream != Stream {
		r.t.Errorf("a %v in stream %d", kind, stream)
	}
	switch kind {
	case frame.KindPart:
		part, err := frame.ParsePart(payload)
		if err != nil {
			r.t.Error(err)
		}
		r.parts[frame.PartIDOf(payload)] = part
	case frame.KindSchema:
		schema, err := frame.ParseSchema(payload)
		if err != nil {
			r.t.Error(err)
		}
		r.schema = nil
		for _, id := range schema.Parts {
			part, known := r.parts[id]
			if !known {
				r.t.Errorf("the schema names part %v, which did not come before", id)
			}
			r.schema = append(r.schema, part)
		}
		layout, err := frame.NewLayout(r.schema)
		if err != nil {
			r.t.Error(err)
		}
		r.decoder = frame.NewDecoder(layout, schema.ID())
	case frame.KindFrame:
		if r.decoder == nil {
			r.t.Fatal("a frame before a schema")
		}
		if err := r.decoder.Decode(payload); err != nil {
			r.t.Errorf("frame %d: %v", len(r.rounds), err)
		}
		if header, err := frame.Peek(payload); err != nil || header.Key != key {
			r.t.Errorf("frame %d: key is %v, told %v, %v", len(r.rounds), header.Key, key, err)
		}
		if there := present(r.decoder.Row()); there != samples {
			r.t.Errorf("frame %d: told %d samples, there are %d", len(r.rounds), samples, there)
		}
		r.keys = append(r.keys, key)
		r.rounds = append(r.rounds, Snapshot{At: r.decoder.At(), Parts: r.schema, Row: slices.Clone(r.decoder.Row())})
	}
	return uint64(len(r.kinds)), nil
}

func (r *receiver) Gap(gap event.Gap) { r.gaps = append(r.gaps, gap) }

// runFor runs the sampler in a bubble for some virtual time, calling during
// meanwhile.
func runFor(t *testing.T, s *Sampler, out Output, d time.Duration, during func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx, out) }()
	if during != nil {
		during()
	}
	time.Sleep(d)
	cancel()
	if err := <-done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// What goes into the records is what was read, to the bit, at aligned times.
func TestRunRecordsEveryRound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHost(t)
		h.cfg.KeyEvery = 4
		h.deps.Now, h.deps.Worker = time.Now, model.WorkerID{7}
		s := h.sampler()
		out := newReceiver(t)
		var want []Snapshot
		started := time.Now()
		runFor(t, s, out, 3*time.Minute-2*time.Second, func() {
			for range 11 {
				synctest.Wait()
				newest, ok := s.Newest()
				if !ok {
					t.Fatal("no round at the start")
				}
				want = append(want, newest)
				h.write("proc/loadavg", time.Now().Format("05.00")+" 0.5 0.25 1/1 1\n")
				time.Sleep(15 * time.Second)
			}
		})
		s.Close()
		if len(out.rounds) < 12 || len(want) != 11 {
			t.Fatalf("%d rounds recorded", len(out.rounds))
		}
		phase := newSchedule(h.cfg.Interval, model.WorkerID{7}).phase
		for i, got := range out.rounds {
			at := time.UnixMilli(int64(got.At))
			if i == 0 && !at.Equal(started) {
				t.Errorf("the first round was at %v, want at once", at)
			}
			if rest := time.Duration(at.UnixNano()) % h.cfg.Interval; i > 0 && rest != phase.Truncate(time.Millisecond) {
				t.Errorf("round %d was at %v, %v into the interval, want %v", i, at, rest, phase)
			}
			if i%4 == 0 != out.keys[i] {
				t.Errorf("round %d: key frame: %v", i, out.keys[i])
			}
		}
		for i, w := range want {
			at := slices.IndexFunc(out.rounds, func(got Snapshot) bool { return got.At == w.At })
			if at < 0 {
				t.Errorf("round %d at %d was not recorded", i, w.At)
				continue
			}
			sameBits(t, out.rounds[at].Row, w.Row)
		}
		stats := s.Stats()
		if stats.Frames != uint64(len(out.rounds)) || stats.Rounds != stats.Frames || stats.Skipped != 0 || stats.SchemaChanges != 1 {
			t.Errorf("got %+v for %d rounds", stats, len(out.rounds))
		}
	})
}

func sameBits(t *testing.T, got, want []float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%d columns, want %d", len(got), len(want))
		return
	}
	for i := range got {
		if math.Float64bits(got[i]) != math.Float64bits(want[i]) {
			t.Errorf("column %d: got %v, want %v", i, got[i], want[i])
		}
	}
}

// An output that fails loses its round; what comes next can be decoded.
func TestOutputThatRefuses(t *testing.T) {
	for _, kind := range []frame.Kind{frame.KindPart, frame.KindSchema, frame.KindFrame} {
		t.Run(kind.String(), func(t *testing.T) {
			h := newTestHost(t).only("loadavg", "stat")
			s := h.sampler()
			out := newReceiver(t)
			recorder := newRecorder(out, Stream, 60)
			round := func() {
				s.once(h.clock, recorder)
				h.clock = h.clock.Add(time.Second)
			}
			failure := errors.New("disk full")
			out.refuse = func(k frame.Kind) error {
				if k == kind {
					return failure
				}
				return nil
			}
			round()
			round()
			out.refuse = nil
			round()
			round()
			if len(out.rounds) != 2 || !out.keys[0] || out.keys[1] {
				t.Errorf("got %d rounds, keys %v, want a key frame and another", len(out.rounds), out.keys)
			}
			if got := len(out.kinds) - len(out.rounds); kind == frame.KindPart && slices.Contains(out.kinds[1:4], frame.KindFrame) {
				t.Errorf("got records %v, %d of them definitions", out.kinds, got)
			}
			if stats := s.Stats(); stats.OutputFails != 2 || stats.Frames != 2 {
				t.Errorf("got %+v", stats)
			}
			want := event.Gap{Cause: event.SpoolFull, From: 1000, To: 1000, Frames: 1, Samples: uint64(present(out.rounds[0].Row))}
			if len(out.gaps) != 2 || out.gaps[0].Cause != want.Cause || out.gaps[0].Frames != 1 || out.gaps[0].Samples != want.Samples || out.gaps[1].From-out.gaps[0].From != 1000 {
				t.Errorf("told of gaps %+v, want two like %+v", out.gaps, want)
			}
		})
	}
}

// An output that lacks what a delta frame needs gets the same round as a key frame.
func TestARefusedDeltaFrameComesAgainAsAKeyFrame(t *testing.T) {
	h := newTestHost(t).only("loadavg")
	s := h.sampler()
	out := newReceiver(t)
	recorder := newRecorder(out, Stream, 60)
	s.once(h.clock, recorder)
	out.refuse = func(frame.Kind) error {
		out.refuse = nil // once
		return errors.New("key frame needed")
	}
	s.once(h.clock.Add(time.Second), recorder)
	s.once(h.clock.Add(2*time.Second), recorder)
	if !slices.Equal(out.keys, []bool{true, true, false}) || len(out.gaps) > 0 {
		t.Errorf("key frames %v, gaps %v; want two of three, and none", out.keys, out.gaps)
	}
}

func TestRestartSendsDefinitionsAgain(t *testing.T) {
	h := newTestHost(t).only("loadavg")
	s := h.sampler()
	out := newReceiver(t)
	recorder := newRecorder(out, Stream, 60)
	s.once(h.clock, recorder)
	s.once(h.clock.Add(time.Second), recorder)
	s.Restart()
	s.once(h.clock.Add(2*time.Second), recorder)
	p, c, f := frame.KindPart, frame.KindSchema, frame.KindFrame
	if want := []frame.Kind{p, p, c, f, f, p, p, c, f}; !slices.Equal(out.kinds, want) {
		t.Errorf("got records %v, want %v", out.kinds, want)
	}
}

// An output that no longer has a part of the schema is given all of them again, in the
// same round.
func TestOutputThatForgotAPart(t *testing.T) {
	h := newTestHost(t).only("loadavg")
	s := h.sampler()
	out := newReceiver(t)
	recorder := newRecorder(out, Stream, 60)
	out.refuse = func(k frame.Kind) error {
		if k == frame.KindSchema {
			out.refuse = nil // once
			return errors.New("part needed")
		}
		return nil
	}
	s.once(h.clock, recorder)
	s.once(h.clock.Add(time.Second), recorder)
	p, c, f := frame.KindPart, frame.KindSchema, frame.KindFrame
	if want := []frame.Kind{p, p, p, p, c, f, f}; !slices.Equal(out.kinds, want) {
		t.Errorf("got records %v, want %v", out.kinds, want)
	}
}

// Going back to devices that were there before needs a schema and no part.
func TestPartsAreSentOnce(t *testing.T) {
	h := newTestHost(t).only("loadavg", "uname")
	s := h.sampler()
	out := newReceiver(t)
	recorder := newRecorder(out, Stream, 60)
	for i := range 6 {
		h.uname = kernel.UnameOf("Linux", []string{"a", "b"}[i%2], "", "", "", "")
		s.once(h.clock, recorder)
	}
	parts, schemas := 0, 0
	for _, kind := range out.kinds {
		switch kind {
		case frame.KindPart:
			parts++
		case frame.KindSchema:
			schemas++
		}
	}
	if parts != 4 || schemas != 6 {
		t.Errorf("got %d parts and %d schemas, want 4 (two names) and 6", parts, schemas)
	}
	recorder.sent = map[frame.PartID]struct{}{}
	for i := range maxSent {
		recorder.sent[frame.PartID{1, byte(i), byte(i >> 8)}] = struct{}{}
	}
	h.uname = kernel.UnameOf("Linux", "c", "", "", "", "")
	s.once(h.clock, recorder)
	if got := len(recorder.sent); got != 3 {
		t.Errorf("%d parts are remembered, want 3: the memory is bounded", got)
	}
}

// A round that outlasts the interval does not make the next one start at once,
// nor twice.
func TestOverlappingRoundsAreSkipped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHost(t).only("uname")
		h.cfg.Interval = time.Second
		h.deps.Now = time.Now
		slow := 3500 * time.Millisecond
		h.deps.Uname = func() (kernel.Uname, error) {
			time.Sleep(slow)
			slow = 0
			return h.uname, nil
		}
		s := h.sampler()
		out := newReceiver(t)
		runFor(t, s, out, 10*time.Second, nil)
		s.Close()
		if len(out.gaps) != 1 || out.gaps[0].Cause != event.RoundSkipped || out.gaps[0].To-out.gaps[0].From != 3500 {
			t.Errorf("told of gaps %+v, want the time of the round that was slow", out.gaps)
		}
		if stats := s.Stats(); stats.Skipped != 3 || stats.Rounds < 6 || stats.Rounds > 8 {
			t.Errorf("got %d rounds, %d skipped, want about 7 and 3", stats.Rounds, stats.Skipped)
		}
		for i := 2; i < len(out.rounds); i++ {
			if gap := out.rounds[i].At - out.rounds[i-1].At; gap != 1000 {
				t.Errorf("%d ms between rounds %d and %d, want 1000", gap, i-1, i)
			}
		}
	})
}

func TestRunEndsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newTestHost(t).only("loadavg")
		h.cfg.Interval = time.Hour
		s := h.sampler()
		began := time.Now()
		runFor(t, s, newReceiver(t), time.Second, nil)
		if took := time.Since(began); took != time.Second {
			t.Errorf("took %v, want 1s", took)
		}
		s.Close()
	})
}
