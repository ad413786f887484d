package spool

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// held lists the numbers that the spool holds.
func held(s *Spool) (numbers []uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.records.all {
		if r.raw != nil {
			numbers = append(numbers, r.seq)
		}
	}
	return numbers
}

func wantHeld(t *testing.T, when string, s *Spool, want ...uint64) {
	t.Helper()
	if diff := cmp.Diff(want, held(s)); diff != "" {
		t.Errorf("%s: held (-want +got):\n%s", when, diff)
	}
	check(t, s)
}

func TestAckedGroupsLeaveAndContextStays(t *testing.T) {
	s, _ := newSpool(t, nil)
	from := newSampler(t, s, 3)
	from.define(1, 1)                                                           // 1 part, 2 schema
	from.define(2, 2)                                                           // 3, 4
	from.rounds(1, 4)                                                           // 5 6 7, 8 open
	from.rounds(2, 1)                                                           // 9 open
	if _, err := s.Append(frame.KindEvent, 0, false, []byte("e")); err != nil { // 10
		t.Fatal(err)
	}
	from.rounds(1, 1) // 11, to the group of 8
	wantHeld(t, "before any ack", s, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
	s.Acked(6)
	wantHeld(t, "half of a group", s, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)
	s.Acked(7)
	wantHeld(t, "a whole group", s, 1, 2, 3, 4, 8, 9, 10, 11)
	s.Acked(11)
	wantHeld(t, "everything", s, 1, 2, 3, 4, 8, 9, 11)
	s.Acked(5)
	s.Acked(99)
	if stats := s.Stats(); stats.AckedSeq != 11 || stats.Unacked != 0 || stats.UnackedAge != 0 || stats.DroppedFull.Records+stats.DroppedOld.Records != 0 {
		t.Errorf("after acks back and beyond: %+v", stats)
	}
	from.rounds(1, 1) // 12 ends the group
	from.rounds(1, 1) // 13 a key frame: 8, 11, 12 are not needed once 12 is acknowledged
	wantHeld(t, "next group begun", s, 1, 2, 3, 4, 8, 9, 11, 12, 13)
	s.Acked(12)
	wantHeld(t, "and the old one acknowledged", s, 1, 2, 3, 4, 9, 13)
	if first, next := s.Range(); first != 1 || next != 14 {
		t.Errorf("range %d to %d, want 1 to 14", first, next)
	}
}

func TestSchemasAndPartsLeaveWithTheirLastGroup(t *testing.T) {
	s, _ := newSpool(t, nil)
	from := newSampler(t, s, 10)
	from.define(1, 1, 2) // 1, 2 parts, 3 schema
	from.rounds(1, 2)    // 4, 5
	from.define(1, 2, 3) // 6 part, 7 schema
	from.rounds(1, 1)    // 8
	wantHeld(t, "two schemas", s, 1, 2, 3, 4, 5, 6, 7, 8)
	s.Acked(8)
	wantHeld(t, "old schema acknowledged", s, 1, 2, 6, 7, 8) // part 1 waits for somebody who names it again
	want := []frame.PartID{partID(t, 1), partID(t, 2), partID(t, 3)}
	if diff := cmp.Diff(want, s.Parts()); diff != "" {
		t.Errorf("parts held (-want +got):\n%s", diff)
	}
	from.define(1, 1) // the part is there: only a schema, 9
	wantHeld(t, "first part again", s, 1, 2, 6, 9)
	if got := s.Stats().DefinitionBytes; got != s.Stats().Bytes {
		t.Errorf("definitions take %d of %d bytes, want all", got, s.Stats().Bytes)
	}
}

func partID(t *testing.T, n int) frame.PartID {
	t.Helper()
	encoded, err := frame.AppendPart(nil, testPart(n))
	if err != nil {
		t.Fatal(err)
	}
	return frame.PartIDOf(encoded)
}

func TestFullSpoolDropsWholeGroupsOldestFirst(t *testing.T) {
	s, _ := newSpool(t, nil)
	from := newSampler(t, s, 4)
	from.define(1, 1)  // 1 2
	from.define(2, 2)  // 3 4
	from.rounds(2, 2)  // 5 6, open and the oldest
	from.rounds(1, 10) // 7-10, 11-14, 15-16
	s.config.MaxBytes = model.Bytes(s.records.bytes)
	from.rounds(1, 1) // 17
	wantHeld(t, "one too many", s, 1, 2, 3, 4, 5, 6, 11, 12, 13, 14, 15, 16, 17)
	if got := s.Stats().DroppedFull; got.Records != 4 || got.Bytes == 0 {
		t.Errorf("dropped %+v, want 4 records", got)
	}
	s.config.MaxBytes = model.Bytes(s.records.bytes - 1)
	s.Acked(12)
	from.rounds(1, 1) // 18: 11 to 14 goes, of which two were not acknowledged
	wantHeld(t, "again", s, 1, 2, 3, 4, 5, 6, 15, 16, 17, 18)
	if got := s.Stats().DroppedFull; got.Records != 6 {
		t.Errorf("dropped %+v, want 6 records", got)
	}
	s.config.MaxBytes = model.Bytes(s.records.bytes - 1)
	s.mu.Lock()
	s.shrinkLocked() // no closed group is left: the oldest open one
	s.mu.Unlock()
	wantHeld(t, "open groups", s, 1, 2, 3, 4, 15, 16, 17, 18)
	if _, err := from.round(2); !errors.Is(err, ErrKeyNeeded) { // 19
		t.Errorf("delta frame of a dropped group: got %v, want ErrKeyNeeded", err)
	}
	if seq, err := from.round(2); err != nil || seq != 20 {
		t.Errorf("key frame: number %d, %v; want 20, since 19 is lost", seq, err)
	}
	if got := s.Stats().DroppedKeyless; got != 1 {
		t.Errorf("%d delta frames without a key frame, want 1", got)
	}
}

func TestOldGroupsExpire(t *testing.T) {
	s, c := newSpool(t, func(c *Config) { c.MaxAge = time.Minute })
	from := newSampler(t, s, 2)
	from.define(1, 1)
	from.define(2, 2)
	from.rounds(2, 1) // 5, open
	from.rounds(1, 3) // 6 7, 8
	c.t = c.t.Add(59 * time.Second)
	from.rounds(1, 1) // 9
	wantHeld(t, "before its time", s, 1, 2, 3, 4, 5, 6, 7, 8, 9)
	c.t = c.t.Add(2 * time.Second)
	from.rounds(1, 1) // 10
	wantHeld(t, "after a minute", s, 1, 2, 3, 4, 5, 8, 9, 10)
	c.t = c.t.Add(12 * time.Hour) // the host slept
	from.rounds(2, 1)             // 11 goes on in its group
	from.rounds(1, 1)             // 12 goes on in the group of 10
	wantHeld(t, "after a night", s, 1, 2, 3, 4, 5, 10, 11, 12)
	if stats := s.Stats(); stats.DroppedOld.Records != 4 || stats.DroppedFull.Records != 0 || stats.UnackedAge != 12*time.Hour+61*time.Second {
		t.Errorf("stats %+v, want 4 dropped for their age", stats)
	}
}

func TestContextIsWhatADecoderNeeds(t *testing.T) {
	s, _ := newSpool(t, nil)
	from := newSampler(t, s, 4)
	from.define(1, 1) // 1 2
	from.rounds(1, 6) // 3-6, 7 8
	from.define(2, 2) // 9 10
	from.rounds(2, 1) // 11
	from.rounds(1, 1) // 12
	first := partID(t, 1)
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
		{6, true, []uint64{2}}, // the group is complete: a key frame comes next
		{7, true, []uint64{2, 7}},
		{8, false, []uint64{1, 2, 7, 8}},
		{9, true, []uint64{2, 7, 8, 9}}, // only the first part is known
		{12, true, []uint64{2, 7, 8, 9, 10, 11, 12}},
	} {
		raw, err := s.Context(c.after, func(id frame.PartID) bool { return c.knows && id == first })
		if err != nil {
			t.Fatal(err)
		}
		var got []uint64
		for len(raw) > 0 {
			r, n, err := frame.ParseRecord(raw)
			if err != nil {
				t.Fatal(err)
			}
			got, raw = append(got, r.Seq), raw[n:]
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("context of %d, first part known: %v (-want +got):\n%s", c.after, c.knows, diff)
		}
	}
}

func TestNextGivesWholeRecordsInBatches(t *testing.T) {
	s, _ := newSpool(t, nil)
	for range 10 {
		if _, err := s.Append(frame.KindEvent, 0, false, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	size := len(s.records.all[0].raw)
	for _, c := range []struct {
		after uint64
		most  int
		last  uint64
	}{
		{0, 1, 1}, {0, size, 1}, {0, 2*size - 1, 1}, {0, 2 * size, 2}, {3, 3 * size, 6}, {8, 1 << 20, 10},
	} {
		out, last, err := s.Next(t.Context(), c.after, []byte("head"), c.most)
		if err != nil || last != c.last || len(out) != 4+int(c.last-c.after)*size || string(out[:4]) != "head" {
			t.Errorf("after %d, at most %d: %d bytes up to %d, %v; want up to %d", c.after, c.most, len(out), last, err, c.last)
		}
	}
}

func TestNextWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _ := newSpool(t, nil)
		var readers sync.WaitGroup
		for range 3 {
			readers.Go(func() {
				if _, last, err := s.Next(t.Context(), 0, nil, 1000); last != 1 || err != nil {
					t.Errorf("got up to %d, %v; want 1", last, err)
				}
			})
		}
		synctest.Wait()
		s.Append(frame.KindEvent, 0, false, []byte("e"))
		readers.Wait()
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("enough")
		cancel(why)
		if out, last, err := s.Next(ctx, 1, []byte("x"), 1000); !errors.Is(err, why) || last != 1 || string(out) != "x" {
			t.Errorf("cancelled: %q up to %d, %v; want the cause", out, last, err)
		}
	})
}

func TestAppendRefuses(t *testing.T) {
	s, _ := newSpool(t, nil)
	schema := frame.AppendSchema(nil, frame.Schema{Parts: []frame.PartID{{1}}})
	for _, c := range []struct {
		what    string
		kind    frame.Kind
		payload []byte
		want    error
	}{
		{"frame without a schema", frame.KindFrame, []byte{1}, ErrSchemaNeeded},
		{"schema without its part", frame.KindSchema, schema, ErrPartNeeded},
		{"schema of garbage", frame.KindSchema, []byte{9, 9}, frame.ErrVersion},
		{"no kind", 9, nil, nil},
		{"more than a record holds", frame.KindEvent, make([]byte, frame.MaxPayload+1), ErrTooLarge},
	} {
		seq, err := s.Append(c.kind, 1, true, c.payload)
		if err == nil || c.want != nil && !errors.Is(err, c.want) || seq != 0 {
			t.Errorf("%s: number %d, %v; want %v", c.what, seq, err, c.want)
		}
	}
	if stats := s.Stats(); stats.Refused != 5 || stats.Next != 1 || stats.First != 1 || stats.Records != 0 {
		t.Errorf("stats %+v; want 5 refused and no number used", stats)
	}
	if _, err := s.Append(frame.KindEvent, 0, false, make([]byte, frame.MaxPayload)); err != nil {
		t.Errorf("the largest record: %v", err)
	}
}

func TestDefinitionsDoNotCrowdOutFrames(t *testing.T) {
	s, _ := newSpool(t, nil)
	s.config.MaxBytes = 20 << 10
	from := newSampler(t, s, 10)
	from.define(1, 1)
	for n := 2; n < 500; n++ { // parts come and go, as with short-lived devices
		from.define(1, 1, n)
		from.rounds(1, 1)
		if stats := s.Stats(); stats.DefinitionBytes > 10<<10 || stats.Bytes > 20<<10 {
			t.Fatalf("after %d parts: definitions take %d of %d bytes", n, stats.DefinitionBytes, stats.Bytes)
		}
	}
	big := testPart(1)
	big.Families[0].Help = string(make([]byte, 1000))
	for stream := model.StreamID(10); ; stream++ { // in use, they cannot be dropped
		encoded, err := frame.AppendPart(nil, testPart(int(1000+stream)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = s.Append(frame.KindPart, 0, false, encoded); err == nil {
			_, err = s.Append(frame.KindSchema, stream, false, frame.AppendSchema(nil, frame.Schema{Parts: []frame.PartID{frame.PartIDOf(encoded)}}))
		}
		if errors.Is(err, ErrTooLarge) {
			break
		}
		if err != nil || stream > 1000 {
			t.Fatalf("stream %d: %v, want ErrTooLarge in the end", stream, err)
		}
	}
	check(t, s)
}

func TestStreamsAreBounded(t *testing.T) {
	s, _ := newSpool(t, nil)
	from := newSampler(t, s, 10)
	for stream := range model.StreamID(maxStreams) {
		from.define(stream, 1)
	}
	schema := frame.AppendSchema(nil, frame.Schema{Parts: []frame.PartID{partID(t, 1)}})
	if _, err := s.Append(frame.KindSchema, maxStreams, false, schema); err == nil {
		t.Errorf("stream %d accepted", maxStreams)
	}
}

func TestReadersAndAcksMeanwhile(t *testing.T) {
	s, _ := newSpool(t, nil)
	s.config.MaxBytes = 64 << 10
	from := newSampler(t, s, 5)
	from.define(1, 1)
	ctx, cancel := context.WithCancel(t.Context())
	var others sync.WaitGroup
	for range 3 {
		others.Go(func() {
			for after := uint64(0); ; {
				_, last, err := s.Next(ctx, after, nil, 500)
				if err != nil {
					return
				}
				if last <= after {
					t.Errorf("up to %d after %d", last, after)
				}
				after = last
				s.Acked(after)
				s.Context(after, func(frame.PartID) bool { return false })
				s.Parts()
				s.Range()
				s.Stats()
			}
		})
	}
	from.rounds(1, 3000)
	cancel()
	others.Wait()
	check(t, s)
}

func TestConfig(t *testing.T) {
	if err := DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	for key, c := range map[string]Config{"max_bytes": {MaxBytes: 1, MaxAge: time.Hour}, "max_age": {MaxBytes: 64 * model.MiB}} {
		var field *model.FieldError
		if err := c.Validate(); !errors.As(err, &field) || field.Key != key {
			t.Errorf("%s: got %v, want it named", key, err)
		}
		if _, err := New(c, model.BootIDFrom([16]byte{1}), time.Now); err == nil {
			t.Errorf("%s: New accepts it", key)
		}
	}
	if _, err := New(DefaultConfig(), model.BootID{}, time.Now); err == nil {
		t.Errorf("no boot id: accepted")
	}
}

// BenchmarkAppend is one round of a worker: a frame of 300 bytes into a full
// spool, acknowledged now and then.
func BenchmarkAppend(b *testing.B) {
	s, err := New(Config{MaxBytes: smallest, MaxAge: time.Hour}, model.BootIDFrom([16]byte{1}), time.Now)
	if err != nil {
		b.Fatal(err)
	}
	encoded, err := frame.AppendPart(nil, testPart(1))
	if err != nil {
		b.Fatal(err)
	}
	s.Append(frame.KindPart, 0, false, encoded)
	s.Append(frame.KindSchema, 1, false, frame.AppendSchema(nil, frame.Schema{Parts: []frame.PartID{frame.PartIDOf(encoded)}}))
	payload := make([]byte, 300)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := s.Append(frame.KindFrame, 1, i%60 == 0, payload); err != nil {
			b.Fatal(err)
		}
	}
}
