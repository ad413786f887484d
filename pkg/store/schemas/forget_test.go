package schemas

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestForgetLeavesWhatIsNewer(t *testing.T) {
	for seed := range uint64(30) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		w := newWorld(t, rnd)
		before := model.Millis(rnd.IntN(110) * 1e9)
		for range 3 {
			w.Forget(before)
		}
		var left []truth
		for _, x := range w.truths {
			// A span is as long as its parts were used within the pause.
			if x.to >= before {
				left = append(left, x)
			}
		}
		w.truths = left
		for range 20 {
			w.check(t, w.Dictionary, randomMatchers(rnd), MinTime, MaxTime)
		}
		var log [][]byte
		if err := w.Snapshot(func(record []byte) error { log = append(log, append([]byte(nil), record...)); return nil }); err != nil {
			t.Fatal(err)
		}
		loaded := reloaded(t, log)
		for range 10 {
			w.check(t, loaded, randomMatchers(rnd), MinTime, MaxTime)
		}
		if got, want := loaded.Stats(), w.Stats(); got != want {
			t.Fatalf("from a snapshot: %+v, want %+v", got, want)
		}
		for range 3 {
			w.Forget(MaxTime)
		}
		if got := w.Stats(); got != (Stats{}) {
			t.Fatalf("seed %d: after everything was forgotten: %+v", seed, got)
		}
		if n := len(w.hosts) + len(w.shapes) + len(w.names) + len(w.allM) + len(w.numbers) + len(w.sources); n > 0 {
			t.Fatalf("after everything was forgotten %d things are left", n)
		}
	}
}

func TestWhatIsNotUsedYetIsSparedOnce(t *testing.T) {
	b := newBook(t)
	p := b.part(simplePart("c", "up", nil))
	b.Forget(0)
	id := b.schema(p) // its part was spared
	b.Forget(0)
	s := b.source(1, "instance", "a")
	b.Forget(0)
	b.AddSchema(nil, schemaOf(p)) // sent again: spared again
	b.Forget(0)
	if b.Schema(id) == nil {
		t.Fatal("the schema was forgotten although it was sent again")
	}
	if _, _, err := b.Use(nil, s, 1, id, 5); !errors.Is(err, ErrUnknownSource) {
		t.Fatalf("use of a source that was idle twice: %v, want %v", err, ErrUnknownSource)
	}
	b.Forget(0)
	if _, _, err := b.Use(nil, b.source(1, "instance", "a"), 1, id, 5); !errors.Is(err, ErrUnknownSchema) {
		t.Fatalf("use of a schema that was idle twice: %v, want %v", err, ErrUnknownSchema)
	}
	b.Forget(0)
	if _, _, err := b.AddSchema(nil, schemaOf(p)); !errors.Is(err, ErrUnknownPart) {
		t.Fatalf("schema of a forgotten part: %v, want %v", err, ErrUnknownPart)
	}
}

func TestASpanTakesFramesUntilItIsForgotten(t *testing.T) {
	b := newBook(t)
	id := b.schema(b.part(simplePart("c", "up", nil)))
	span := b.use(b.source(1, "instance", "a"), 1, id, 1000)
	pause := model.Millis(b.config.Pause.Milliseconds())
	for _, fact := range []struct {
		at       model.Millis
		taken    bool
		from, to model.Millis
	}{
		{1000, true, 1000, 1000},
		{1500, true, 1000, 1500},
		{1200, true, 1000, 1500},
		{999, false, 1000, 1500}, // Use widens
		{1500 + pause, true, 1000, 1500 + pause},
		{1501 + 2*pause, false, 1000, 1500 + pause},
		{MaxTime, false, 1000, 1500 + pause},
	} {
		taken := span.Extend(fact.at)
		if from, to := span.Bounds(); taken != fact.taken || from != fact.from || to != fact.to {
			t.Errorf("frame at %d: taken %v, span %d to %d; want %v, %d to %d", fact.at, taken, from, to, fact.taken, fact.from, fact.to)
		}
	}
	if f := b.Forget(1501 + pause); f.Spans != 1 {
		t.Fatalf("forgotten %+v, want one span", f)
	}
	if span.Extend(1500 + pause) {
		t.Error("a forgotten span takes frames")
	}
	again := b.use(b.source(1, "instance", "a"), 1, id, 1500+pause)
	if again == span || !again.Extend(1500+pause) {
		t.Error("Use does not replace a forgotten span")
	}
}

func TestASchemaThatComesBackSoonGoesOnInItsSpan(t *testing.T) {
	b := newBook(t)
	one, two := b.schema(b.part(simplePart("c", "one", nil))), b.schema(b.part(simplePart("c", "two", nil)))
	s := b.source(1, "instance", "a")
	for i := range model.Millis(500) { // a device that comes and goes
		b.use(s, 1, one, 2000*i)
		b.use(s, 1, two, 2000*i+1000)
	}
	if n := b.Stats().Spans; n != 2 {
		t.Fatalf("%d spans, want 2", n)
	}
	pause := model.Millis(b.config.Pause.Milliseconds())
	first := b.use(s, 1, one, 0)
	far := b.use(s, 1, one, 10*pause)
	if first == far {
		t.Fatal("ten pauses later it is the same span")
	}
	for at, want := range map[model.Millis]*Span{10*pause - 1: far, 9 * pause: far, -5: first, 999_000 + pause/2: first} {
		if got := b.use(s, 1, one, at); got != want {
			t.Errorf("a late frame at %d goes to another span than the nearest", at)
		}
	}
	for i := range 100 { // now there are too many to look at one by one
		b.use(s, model.StreamID(2+i), one, 0)
	}
	for at, want := range map[model.Millis]*Span{10*pause - 1: far, 9 * pause: far, -5: first, 999_000 + pause/2: first} {
		if got := b.use(s, 1, one, at); got != want {
			t.Errorf("among many: a late frame at %d goes to another span than the nearest", at)
		}
	}
}

func TestLimits(t *testing.T) {
	config := DefaultConfig()
	config.Sources, config.Spans, config.Bytes = 2, 3, 100_000
	d := New(config)
	limited := func(what string, err error, limit string) {
		t.Helper()
		var refusal *LimitError
		if !errors.As(err, &refusal) || !errors.Is(err, ErrLimit) || refusal.Limit != limit {
			t.Errorf("%s: %v, want limit %s", what, err, limit)
		}
	}
	_, part, err := d.AddPart(nil, encode(t, simplePart("c", "up", nil)))
	if err != nil {
		t.Fatal(err)
	}
	_, id, _ := d.AddSchema(nil, schemaOf(part))
	_, s, _ := d.AddSource(nil, workerID(1), labels.FromStrings("instance", "a"))
	d.AddSource(nil, workerID(2), labels.FromStrings("instance", "a"))
	_, _, err = d.AddSource(nil, workerID(3), labels.FromStrings("instance", "a"))
	limited("third source", err, "sources")
	for i := range 3 {
		if _, _, err := d.Use(nil, s, model.StreamID(i), id, 0); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err = d.Use(nil, s, 3, id, 0)
	limited("fourth span", err, "spans")

	was := d.Stats()
	var series []model.Labels
	for i := range 2000 {
		series = append(series, model.LabelsOf("n", fmt.Sprint(i)))
	}
	_, _, err = d.AddPart(nil, encode(t, simplePart("c", "wide", series...)))
	limited("wide part", err, "bytes")
	if now := d.Stats(); now != was {
		t.Errorf("a refused part leaves %+v, before it was %+v", now, was)
	}
	for i := 0; ; i++ {
		if i == 1000 {
			t.Fatal("no limit after 1000 parts")
		}
		if _, _, err = d.AddPart(nil, encode(t, simplePart("c", fmt.Sprint("m", i), nil))); err != nil {
			break
		}
	}
	limited("many parts", err, "bytes")
	was = d.Stats()
	if was.Bytes > int64(config.Bytes) {
		t.Errorf("%d bytes, more than the limit", was.Bytes)
	}

	d = New(DefaultConfig())
	for i := range maxShapes {
		if _, _, err := d.AddSource(nil, workerID(1), labels.FromStrings(fmt.Sprint("l", i), "x")); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err = d.AddSource(nil, workerID(1), labels.FromStrings("one", "more"))
	limited("one more shape", err, "shapes")
}

func TestWhatIsRefused(t *testing.T) {
	b := newBook(t)
	p := b.part(simplePart("c", "up", model.LabelsOf("a", "1"), model.LabelsOf("a", "2")))
	q := b.part(simplePart("d", "up", model.LabelsOf("a", "2", "b", "")))
	s := b.source(1, "instance", "a")
	id := b.schema(p)
	for _, fact := range []struct {
		what string
		err  error
		want error
	}{
		{"part of no bytes", second(b.AddPart(nil, nil)), frame.ErrMalformed},
		{"part of version 2", second(b.AddPart(nil, []byte{2})), frame.ErrVersion},
		{"schema of a series twice", second(b.AddSchema(nil, schemaOf(p, q))), ErrShared},
		{"schema of no bytes", second(b.AddSchema(nil, nil)), frame.ErrMalformed},
		{"no worker", second(b.AddSource(nil, model.WorkerID{}, labels.FromStrings("instance", "a"))), ErrLabels},
		{"name of a metric", second(b.AddSource(nil, workerID(1), labels.FromStrings("__name__", "a"))), ErrLabels},
		{"empty value", second(b.AddSource(nil, workerID(1), labels.FromStrings("instance", ""))), ErrLabels},
		{"no UTF-8", second(b.AddSource(nil, workerID(1), labels.FromStrings("instance", "\xff"))), ErrLabels},
		{"no schema", second(b.Use(nil, s, 1, frame.SchemaID{}, 0)), ErrUnknownSchema},
		{"no time", second(b.Use(nil, s, 1, id, MaxTime)), ErrTime},
	} {
		if !errors.Is(fact.err, fact.want) {
			t.Errorf("%s: %v, want %v", fact.what, fact.err, fact.want)
		}
	}
}

func second[A, B any](_ A, _ B, err error) error { return err }
