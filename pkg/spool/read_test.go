package spool

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestContextIsWhatADecoderNeeds(t *testing.T) {
	b := newBench(t, nil)
	b.from.keyEvery = 4
	b.define(1, 1)      // 1 2
	b.from.rounds(1, 6) // 3-6, 7 8
	b.define(2, 2)      // 9 10
	b.from.rounds(2, 1) // 11
	b.from.rounds(1, 1) // 12
	st, first := b.live(), frame.PartIDOf(encodedPart(1))
	for _, c := range []struct {
		after uint64
		knows bool
		want  []uint64
	}{
		{0, false, nil},
		{1, false, []uint64{1}},
		{1, true, nil},
		{2, true, []uint64{2}},
		{4, true, []uint64{2, 3, 4}},
		{7, true, []uint64{2, 7}},
		{8, false, []uint64{1, 2, 7, 8}},
		{9, true, []uint64{2, 7, 8, 9}}, // only the first part is known
		{12, true, []uint64{2, 7, 8, 9, 10, 11, 12}},
	} {
		raw, err := st.Context(c.after, func(id frame.PartID) bool { return c.knows && id == first })
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, numbers(t, raw)); diff != "" {
			t.Errorf("context of %d, first part known: %v (-want +got):\n%s", c.after, c.knows, diff)
		}
	}
}

func numbers(t *testing.T, raw []byte) (all []uint64) {
	t.Helper()
	for len(raw) > 0 {
		r, n, err := frame.ParseRecord(raw)
		if err != nil {
			t.Fatal(err)
		}
		all, raw = append(all, r.Seq), raw[n:]
	}
	return all
}

func TestNextGivesWholeRecordsInBatches(t *testing.T) {
	b := newBench(t, nil)
	for range 10 {
		if _, err := b.spool.Append(frame.KindEvent, 0, false, make([]byte, 100), 0); err != nil {
			t.Fatal(err)
		}
	}
	st := b.live()
	one, _, err := st.Next(t.Context(), 0, nil, 1)
	if err != nil {
		t.Fatal(err)
	}
	size := len(one)
	for _, c := range []struct {
		after uint64
		most  int
		last  uint64
	}{
		{0, 1, 1}, {0, size, 1}, {0, 2*size - 1, 1}, {0, 2 * size, 2}, {3, 3 * size, 6}, {8, 1 << 20, 10}, {1, size, 2}, {2, size, 3},
	} {
		out, last, err := st.Next(t.Context(), c.after, []byte("head"), c.most)
		if err != nil || last != c.last || len(out) != 4+int(c.last-c.after)*size || string(out[:4]) != "head" {
			t.Errorf("after %d, at most %d: %d bytes up to %d, %v; want up to %d", c.after, c.most, len(out), last, err, c.last)
		}
	}
}

func TestNextWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		st := b.live()
		var reader sync.WaitGroup
		reader.Go(func() {
			if _, last, err := st.Next(t.Context(), 0, nil, 1000); last != 1 || err != nil {
				t.Errorf("got up to %d, %v; want 1", last, err)
			}
		})
		synctest.Wait()
		b.spool.Append(frame.KindEvent, 0, false, []byte("{}"), 0)
		reader.Wait()
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("enough")
		cancel(why)
		if out, last, err := st.Next(ctx, 1, []byte("x"), 1000); !errors.Is(err, why) || last != 1 || string(out) != "x" {
			t.Errorf("cancelled: %q up to %d, %v; want the cause", out, last, err)
		}
		b.close()
		if _, _, err := st.Next(t.Context(), 1, nil, 1000); !errors.Is(err, ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		if _, err := b.spool.Live(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("closed: %v", err)
		}
		if _, err := b.spool.Backlog(t.Context()); !errors.Is(err, ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}

func TestABacklogEnds(t *testing.T) {
	b := newBench(t, nil)
	b.define(1, 1)
	b.from.rounds(1, 3)
	b.kill()
	b.live()
	st := b.backlog()
	out, last, err := st.Next(t.Context(), 0, nil, 1<<20)
	if err != nil || last != 5 || len(numbers(t, out)) != 5 {
		t.Errorf("%d bytes up to %d, %v; want 5 records", len(out), last, err)
	}
	if out, last, err := st.Next(t.Context(), 5, []byte("x"), 1); !errors.Is(err, io.EOF) || last != 5 || string(out) != "x" {
		t.Errorf("%q up to %d, %v; want io.EOF", out, last, err)
	}
}

func TestAppendRefuses(t *testing.T) {
	b := newBench(t, func(b *bench) { b.limits.group = 200 })
	schema := frame.AppendSchema(nil, frame.Schema{Parts: []frame.PartID{{1}}})
	b.define(2, 1)
	key, _ := b.from.encoders[2].Append(nil, b.from.at, make([]float64, b.from.columns[2]))
	delta, _ := b.from.encoders[2].Append(nil, b.from.at+1, make([]float64, b.from.columns[2]))
	for _, c := range []struct {
		what    string
		kind    frame.Kind
		stream  model.StreamID
		key     bool
		payload []byte
		samples int
		want    error
	}{
		{"frame without a schema", frame.KindFrame, 1, true, key, 1, ErrSchemaNeeded},
		{"delta frame without its key frame", frame.KindFrame, 2, false, delta, 1, ErrKeyNeeded},
		{"schema without its part", frame.KindSchema, 1, false, schema, 0, ErrPartNeeded},
		{"schema of garbage", frame.KindSchema, 1, false, []byte{9, 9}, 0, frame.ErrVersion},
		{"frame of garbage", frame.KindFrame, 2, true, []byte{9, 9}, 0, frame.ErrVersion},
		{"key frame that is none", frame.KindFrame, 2, false, key, 1, errMalformed},
		{"no kind", 9, 1, false, nil, 0, nil},
		{"more than a record holds", frame.KindEvent, 0, false, make([]byte, frame.MaxPayload+1), 0, ErrTooLarge},
	} {
		seq, err := b.spool.Append(c.kind, c.stream, c.key, c.payload, c.samples)
		if err == nil || c.want != nil && !errors.Is(err, c.want) || seq != 0 {
			t.Errorf("%s: number %d, %v; want %v", c.what, seq, err, c.want)
		}
	}
	if stats := b.spool.Stats(); stats.Refused != 7 || stats.Next != 3 {
		t.Errorf("stats %+v; want 7 refused and no number used", stats)
	}
	b.from.keyEvery = 1000
	b.define(3, 1)
	b.from.rounds(3, 50) // a group that would be too large is ended by a key frame
	b.drain()
	b.complete(0)
	if _, err := b.spool.Append(frame.KindEvent, 0, false, make([]byte, frame.MaxPayload), 0); err != nil {
		t.Errorf("the largest record: %v", err)
	}
}

// TestDefinitionsAreBounded lets parts come and go, as with short-lived devices.
func TestDefinitionsAreBounded(t *testing.T) {
	b := newBench(t, func(b *bench) {
		b.limits.definitions, b.limits.segment, b.limits.unsynced = 16*model.KiB, 4*model.KiB, 4*model.KiB
	})
	refused := 0
	l := b.to.connect(b.live(), true)
	for n := 1; n < 500; n++ {
		if err := b.from.define(1, 1, n+1); errors.Is(err, ErrTooLarge) {
			refused++
			continue
		}
		b.from.rounds(1, 2)
		l.pull(1 << 20)
		l.ack()
		b.spool.tend()
		if stats := b.spool.Stats(); stats.DefinitionBytes > 16<<10 {
			t.Fatalf("definitions take %d bytes", stats.DefinitionBytes)
		}
		if size := b.spool.defs.log.Size(); size > 64<<10 {
			t.Fatalf("their log has %d bytes", size)
		}
	}
	if refused > 0 {
		t.Errorf("%d schemas refused, though nobody needs the former ones", refused)
	}
	b.complete(0)
	for n := 1000; refused == 0 && n < 2000; n++ { // all in use: nobody acknowledges
		if err := b.from.define(1, n); errors.Is(err, ErrTooLarge) {
			refused++
			continue
		}
		b.from.rounds(1, 1)
	}
	if refused == 0 {
		t.Errorf("definitions that are in use are not bounded")
	}
}

func TestOthersAreRefused(t *testing.T) {
	b := newBench(t, nil)
	if _, err := open(b.config, b.limits, b.deps); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("two on one folder: %v", err)
	}
	b.spool.records.Append([]byte{99})
	b.close()
	if _, err := open(b.config, b.limits, b.deps); !errors.Is(err, ErrVersion) {
		t.Errorf("an entry that is not known: %v", err)
	}
}

func TestReadersAndAcksMeanwhile(t *testing.T) {
	b := newBench(t, func(b *bench) {
		b.config.MaxBytes, b.limits.segment, b.limits.unsynced, b.limits.chunk = 64*model.KiB, 4*model.KiB, 4*model.KiB, 500
		b.limits.gaps, b.limits.told = 1, 4
	})
	b.define(1, 1)
	ctx, cancel := context.WithCancel(t.Context())
	var others sync.WaitGroup
	for range 3 {
		st := b.live()
		others.Go(func() {
			for after := uint64(0); ; {
				_, last, err := st.Next(ctx, after, nil, 500)
				if err != nil {
					return
				}
				if last <= after {
					t.Errorf("up to %d after %d", last, after)
				}
				after = last
				st.Acked(after)
				st.Context(after, func(frame.PartID) bool { return false })
				st.Parts()
				st.Range()
				b.spool.Stats()
			}
		})
	}
	others.Go(func() {
		for ctx.Err() == nil {
			b.spool.tend()
		}
	})
	others.Go(func() {
		for ctx.Err() == nil {
			if st, err := b.spool.Backlog(ctx); err == nil {
				st.Next(ctx, 0, nil, 1000)
			}
		}
	})
	b.from.rounds(1, 2000)
	cancel()
	others.Wait()
}

func TestRunTends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, nil)
		b.spool.now, b.now = time.Now, time.Now()
		b.define(1, 1)
		b.from.rounds(1, 1)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- b.spool.Run(ctx) }()
		before := b.spool.Stats().Syncs
		time.Sleep(b.config.SyncInterval)
		synctest.Wait()
		if b.spool.Stats().Syncs == before {
			t.Errorf("no sync after %v", b.config.SyncInterval)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestConfig(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	for key, change := range map[string]func(*Config){
		"max_bytes": func(c *Config) { c.MaxBytes = 1 }, "max_age": func(c *Config) { c.MaxAge = 0 },
		"sync_interval": func(c *Config) { c.SyncInterval = 0 }, "order": func(c *Config) { c.Order = "" },
		"live_backlog": func(c *Config) { c.LiveBacklog = model.TiB },
	} {
		c := DefaultConfig()
		change(&c)
		var field *model.FieldError
		if err := c.Validate(); !errors.As(err, &field) || field.Key != key {
			t.Errorf("%s: got %v, want it named", key, err)
		}
		if _, err := Open(c, Deps{Boot: model.BootIDFrom([16]byte{1})}); err == nil {
			t.Errorf("%s: Open accepts it", key)
		}
	}
	if _, err := Open(DefaultConfig(), Deps{}); err == nil {
		t.Errorf("no boot id: accepted")
	}
}
