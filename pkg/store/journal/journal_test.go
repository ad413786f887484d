package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/journal"
)

func open(t testing.TB, dir string, opts journal.Options) *journal.Journal {
	t.Helper()
	j, found, err := journal.Open(dir, opts)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range found {
		t.Errorf("reported is %v", d)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// put appends an entry by the method that is for its kind.
func put(j *journal.Journal, e journal.Entry) (index uint64, err error) {
	switch e.Kind {
	case journal.KindSession:
		return j.Session(e.Session, journal.Session{Worker: e.Worker, Boot: e.Boot, Source: e.Source, Backfill: e.Backfill})
	case journal.KindRecord:
		return j.Records(e.Session, e.Raw)
	case journal.KindBase:
		return j.Base(e.Session, e.Stream, e.Schema, e.State)
	case journal.KindCoverage:
		return j.Coverage(journal.Coverage{Worker: e.Worker, Boot: e.Boot, Heard: e.Heard, Intervals: e.Intervals})
	case journal.KindEnd:
		return j.End(e.Source, e.At)
	case journal.KindSealed:
		return j.Sealed(e.Volume, e.Source, e.Stream)
	case journal.KindRefused:
		return j.Refused(e.Session, e.Seq, e.Cause, e.At, e.Samples)
	}
	return j.Passed(e.Session, e.From, e.To)
}

// replay returns what is in the journal, by index from the oldest on, and what is
// damaged.
func replay(t testing.TB, j *journal.Journal) (first uint64, entries []journal.Entry, found []*durable.Damage) {
	t.Helper()
	next := uint64(0)
	check(t, j.Replay(func(index uint64, e journal.Entry) error {
		if first == 0 {
			first = index
		} else if index < next {
			t.Errorf("record %d after %d", index, next-1)
		}
		next = index + 1
		e.Raw, e.State = bytes.Clone(e.Raw), bytes.Clone(e.State)
		entries = append(entries, e)
		return nil
	}, func(d *durable.Damage) { found = append(found, d) }))
	return first, entries, found
}

func wantEntries(t testing.TB, j *journal.Journal, want []journal.Entry) {
	t.Helper()
	_, got, found := replay(t, j)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("replayed (-want +got):\n%s", diff)
	}
	for _, d := range found {
		t.Error(d)
	}
}

func TestWhatIsAppendedIsReplayedAndViewed(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir, journal.Options{SegmentBytes: 4 * model.KiB})
	want := examples()
	for i, e := range want {
		if index, err := put(j, e); err != nil || index != uint64(i+1) {
			t.Fatalf("%v is record %d: %v", e.Kind, index, err)
		}
	}
	first, err := j.Records(9, []byte("a"), nil, []byte("ccc"))
	if err != nil || first != 9 || j.Next() != 12 {
		t.Fatalf("first is %d, next %d: %v", first, j.Next(), err)
	}
	for _, raw := range []string{"a", "", "ccc"} {
		want = append(want, journal.Entry{Kind: journal.KindRecord, Session: 9, Raw: append([]byte{}, raw...)})
	}
	wantEntries(t, j, want)
	check(t, j.Sync())
	if s := j.Stats(); s.Appended != 4 || s.Others != 7 || s.Refused != 0 || j.Synced() != 12 || j.Oldest() != 1 {
		t.Errorf("got %+v", s)
	}
	check(t, j.Close())
	j = open(t, dir, journal.Options{})
	wantEntries(t, j, want)
	v := j.Viewer()
	defer v.Close()
	for i, e := range want {
		index := uint64(i + 1)
		if got, err := v.Entry(index); err != nil || !cmp.Equal(got, e) {
			t.Errorf("record %d: got %+v and %v, want %+v", index, got, err, e)
		}
		session, raw, err := v.Record(index)
		if e.Kind == journal.KindRecord && (err != nil || session != e.Session || !bytes.Equal(raw, e.Raw)) ||
			e.Kind != journal.KindRecord && !errors.Is(err, journal.ErrKind) {
			t.Errorf("record %d: got %d %q and %v, want %+v", index, session, raw, err, e)
		}
		schema, state, err := v.Base(index)
		if e.Kind == journal.KindBase && (err != nil || schema != e.Schema || !bytes.Equal(state, e.State)) ||
			e.Kind != journal.KindBase && !errors.Is(err, journal.ErrKind) {
			t.Errorf("record %d: got %v %x and %v, want %+v", index, schema, state, err, e)
		}
	}
	if _, _, err := v.Record(12); !errors.Is(err, durable.ErrDropped) {
		t.Errorf("a record that is not there: %v", err)
	}
}

func TestReplayEndsWithTheErrorOfItsCaller(t *testing.T) {
	j := open(t, t.TempDir(), journal.Options{})
	for range 3 {
		if _, err := j.End(1, 1); err != nil {
			t.Fatal(err)
		}
	}
	stop, n := errors.New("stop"), 0
	if err := j.Replay(func(uint64, journal.Entry) error { n++; return stop }, nil); err != stop || n != 1 {
		t.Errorf("got %v after %d records", err, n)
	}
}

// A full journal refuses what workers send and takes what a pass writes; the pass
// makes room.
func TestAFullJournalCanBeEmptied(t *testing.T) {
	j := open(t, t.TempDir(), journal.Options{SegmentBytes: 8 * model.KiB, MaxBytes: 32 * model.KiB})
	raw, n := make([]byte, 1000), 0
	for ; ; n++ {
		if _, err := j.Records(1, raw); errors.Is(err, durable.ErrFull) {
			break
		} else if err != nil || n > 100 {
			t.Fatal(n, err)
		}
	}
	if s := j.Stats(); n < 28 || s.Refused != 1 || s.Bytes > 32<<10 {
		t.Errorf("%d records, %+v", n, s)
	}
	sealed, err := j.Sealed(1, 1, 1)
	check(t, err)
	check(t, j.Rotate())
	check(t, j.DropThrough(sealed))
	if j.Oldest() != sealed+1 {
		t.Errorf("the oldest is %d, want %d", j.Oldest(), sealed+1)
	}
	if _, err := j.Records(1, raw); err != nil {
		t.Error(err)
	}
}

func TestAFullDiskStopsAppendsOnly(t *testing.T) {
	disk := durabletest.New(1)
	j := open(t, "/journal", journal.Options{FS: disk, SegmentBytes: 4 * model.KiB, Buffer: 1})
	var want []journal.Entry
	add := func(n int) error {
		e := journal.Entry{Kind: journal.KindRecord, Session: 1, Raw: fmt.Appendf(nil, "%500d", n)}
		index, err := put(j, e)
		if err == nil {
			want = append(want, e)
			if index != uint64(len(want)) {
				t.Errorf("record %d has index %d", len(want), index)
			}
		}
		return err
	}
	for n := range 10 {
		check(t, add(n))
	}
	check(t, j.Sync())
	disk.SetRoom(1500)
	err := error(nil)
	for n := 0; err == nil && n < 100; n++ {
		if err = add(n); err == nil {
			err = j.Sync()
		}
	}
	if !errors.Is(err, durable.ErrFull) {
		t.Errorf("got %v, want %v", err, durable.ErrFull)
	}
	wantEntries(t, j, want)
	disk.SetRoom(1 << 40)
	check(t, add(1))
	check(t, j.Sync())
	wantEntries(t, j, want)
	check(t, j.Close())
	j = open(t, "/journal", journal.Options{FS: disk})
	wantEntries(t, j, want)
}

// Every flipped byte costs the records that it hit, and is reported with its place.
func TestDamageCostsWhatItHit(t *testing.T) {
	clean := durabletest.New(1)
	j := open(t, "/journal", journal.Options{FS: clean})
	want := examples()
	for _, e := range want {
		if _, err := put(j, e); err != nil {
			t.Fatal(err)
		}
	}
	check(t, j.Rotate())
	check(t, j.Close())
	const name = "/journal/000000000001.log"
	whole, _ := clean.Content(name)
	end, _ := clean.Content("/journal/000000000002.log")
	for at := 64; at < len(whole); at++ {
		disk := durabletest.New(1)
		bad := bytes.Clone(whole)
		bad[at] ^= 0x01
		disk.SetContent(name, bad)
		disk.SetContent("/journal/000000000002.log", end)
		j := open(t, "/journal", journal.Options{FS: disk})
		_, got, found := replay(t, j)
		if len(found) != 1 || found[0].File != name || found[0].Offset > int64(at) || found[0].Offset+found[0].Length <= int64(at) {
			t.Errorf("byte %d: reported is %v", at, found)
			continue
		}
		lost := found[0].Lost
		if lost.Count() > 1 || !cmp.Equal(got, slices.Delete(slices.Clone(want), int(lost.First-1), int(lost.End-1))) {
			t.Errorf("byte %d: lost %v, got %+v", at, lost, got)
		}
		check(t, j.Close())
	}
}

func TestRecordsOfOthers(t *testing.T) {
	fill := func(records ...string) (*journal.Journal, *durabletest.Disk) {
		disk := durabletest.New(1)
		log, _, err := durable.Open("/journal", durable.Options{FS: disk})
		check(t, err)
		for _, r := range records {
			if _, err := log.Append([]byte(r)); err != nil {
				t.Fatal(err)
			}
		}
		check(t, log.Close())
		return open(t, "/journal", journal.Options{FS: disk}), disk
	}
	good, _ := journal.AppendEntry(nil, journal.Entry{Kind: journal.KindEnd, Source: 1})
	j, _ := fill(string(good), "\x19later", string(good))
	seen := 0
	err := j.Replay(func(uint64, journal.Entry) error { seen++; return nil }, func(d *durable.Damage) { t.Error(d) })
	if !errors.Is(err, journal.ErrVersion) || !errors.Is(err, durable.ErrNewerFormat) || seen != 1 {
		t.Errorf("a kind of a newer release: %v after %d records", err, seen)
	}
	v := j.Viewer()
	defer v.Close()
	if _, err := v.Entry(2); !errors.Is(err, journal.ErrVersion) {
		t.Errorf("viewed: %v", err)
	}
	j, _ = fill(string(good), "\x15", "", string(good))
	_, got, found := replay(t, j)
	if len(got) != 2 || len(found) != 2 || found[0].Lost != (durable.Range{First: 2, End: 3}) || found[0].Offset != 64+12+3 || found[0].Length != 13 {
		t.Errorf("malformed records: got %+v, reported %v", got, found)
	}
}

func TestRecordsNeedNoMemoryEach(t *testing.T) {
	j := open(t, t.TempDir(), journal.Options{})
	one := [][]byte{make([]byte, 300)}
	for range 2000 { // buffers grow
		if _, err := j.Records(1, one...); err != nil {
			t.Fatal(err)
		}
	}
	check(t, j.Sync())
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := j.Records(1, one...); err != nil {
			t.Fatal(err)
		}
	}); n >= 0.1 {
		t.Errorf("%v allocations a record", n)
	}
	v := j.Viewer()
	defer v.Close()
	index := uint64(0)
	if n := testing.AllocsPerRun(1000, func() {
		index++
		if _, _, err := v.Record(index); err != nil {
			t.Fatal(err)
		}
	}); n >= 0.1 {
		t.Errorf("%v allocations a view", n)
	}
}
