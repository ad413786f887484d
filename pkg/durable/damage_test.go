package durable_test

import (
	"bytes"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// small is a log of three segments, as files and as records.
type small struct {
	files   map[string][]byte
	names   []string
	records []durable.Record
}

// newSmall makes one. Closed or, as a kill leaves it, after a Sync and three more
// records.
func newSmall(t *testing.T, closed bool) (s small) {
	t.Helper()
	disk := durabletest.New(1)
	log := open(t, disk)
	add := func(data string) {
		t.Helper()
		if _, err := log.Append([]byte(data)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 12 {
		add(fmt.Sprintf("record %d", i+1))
		if i%2 == 1 {
			check(t, log.Sync())
		}
		if i%4 == 3 && i < 11 {
			check(t, log.Advance(log.Next()+1)) // a new segment
		}
	}
	if closed {
		check(t, log.Close())
	} else {
		add("thirteen")
		add("fourteen")
		add("fifteen")
		check(t, log.Flush())
		disk.Kill()
	}
	s.files = map[string][]byte{}
	for _, name := range disk.Names() {
		s.files[name], _ = disk.Content(name)
		s.names = append(s.names, name)
	}
	s.records, _ = contents(t, s.disk())
	return s
}

func (s small) disk() *durabletest.Disk {
	disk := durabletest.New(1)
	for name, content := range s.files {
		disk.SetContent(name, content)
	}
	return disk
}

func open(t *testing.T, disk *durabletest.Disk) *durable.Log {
	t.Helper()
	log, _, err := durable.Open(lifeDir, durable.Options{FS: disk, SegmentBytes: 4 * model.KiB})
	check(t, err)
	return log
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// contents opens a log and reads it, over all damage.
func contents(t *testing.T, disk *durabletest.Disk) (records []durable.Record, found []*durable.Damage) {
	t.Helper()
	log, found, err := durable.Open(lifeDir, durable.Options{FS: disk, SegmentBytes: 4 * model.KiB})
	check(t, err)
	r := log.Read(0)
	defer r.Close()
	for {
		for r.Next() {
			got := r.Record()
			got.Data = slices.Clone(got.Data)
			records = append(records, got)
		}
		var damage *durable.Damage
		if !errors.As(r.Err(), &damage) {
			check(t, r.Err())
			check(t, log.Close())
			return records, found
		}
		if !slices.ContainsFunc(found, func(f *durable.Damage) bool { return f.File == damage.File && f.Offset == damage.Offset }) {
			found = append(found, damage)
		}
		r.Resume()
	}
}

// without returns the records but those that lie in a stretch of a file.
func (s small) without(segment uint64, from, to int64) (left []durable.Record) {
	for _, r := range s.records {
		if r.At.Segment != segment || r.At.Offset+12+int64(len(r.Data)) <= from || r.At.Offset >= to {
			left = append(left, r)
		}
	}
	return left
}

func same(a, b []durable.Record) bool {
	return slices.EqualFunc(a, b, func(a, b durable.Record) bool { return a.Index == b.Index && bytes.Equal(a.Data, b.Data) })
}

func texts(records []durable.Record) string {
	var all []string
	for _, r := range records {
		all = append(all, fmt.Sprintf("%d:%s", r.Index, r.Data))
	}
	return strings.Join(all, " ")
}

const headerSize = 64

func TestEveryFlippedBitOfALogCostsTheRecordThatItHits(t *testing.T) {
	s := newSmall(t, true)
	if len(s.names) != 3 || len(s.records) != 12 {
		t.Fatalf("%d files, %d records", len(s.names), len(s.records))
	}
	for number, name := range s.names {
		for at := range s.files[name] {
			for bit := range 8 {
				disk := s.disk()
				bad := slices.Clone(s.files[name])
				bad[at] ^= 1 << bit
				disk.SetContent(name, bad)
				got, found := contents(t, disk)
				from, to := int64(at), int64(at+1)
				if at < headerSize {
					from, to = 0, 1<<40
				}
				what := fmt.Sprintf("%s, byte %d, bit %d", name, at, bit)
				if want := s.without(uint64(number+1), from, to); !same(got, want) {
					t.Fatalf("%s:\ngot  %s\nwant %s", what, texts(got), texts(want))
				}
				if !reported(found, name, int64(at)) {
					t.Fatalf("%s: reported is %v", what, found)
				}
				if _, whole := disk.Content(name); at < headerSize && whole {
					t.Fatalf("%s: not set aside", what)
				}
			}
		}
	}
}

func reported(found []*durable.Damage, name string, at int64) bool {
	return slices.ContainsFunc(found, func(d *durable.Damage) bool {
		return d.File == name && d.Offset <= at && at <= d.Offset+d.Length
	})
}

func TestEveryTruncationOfALogCostsWhatIsCutOff(t *testing.T) {
	s := newSmall(t, true)
	for number, name := range s.names {
		for size := range s.files[name] {
			disk := s.disk()
			disk.SetContent(name, s.files[name][:size])
			got, found := contents(t, disk)
			from := int64(size)
			if size < headerSize {
				from = 0
			}
			want := s.without(uint64(number+1), from, 1<<40)
			if !same(got, want) {
				t.Fatalf("%s cut to %d:\ngot  %s\nwant %s", name, size, texts(got), texts(want))
			}
			// Only at the end of the last segment, between two entries, nobody can
			// see that something is missing.
			if len(found) == 0 && len(want) < len(s.records) && name != s.names[2] {
				t.Fatalf("%s cut to %d: nothing is reported", name, size)
			}
			again, found := contents(t, disk)
			if !same(again, want) {
				t.Fatalf("%s cut to %d, opened again:\ngot  %s\nwant %s", name, size, texts(again), texts(want))
			}
			if slices.ContainsFunc(found, func(d *durable.Damage) bool { return d.Torn }) {
				t.Fatalf("%s cut to %d, opened again: %v", name, size, found)
			}
		}
	}
}

// What was not synced when the process was killed is a beginning of what was
// appended, whatever happens to it: what is behind the damage is set aside.
func TestDamageBehindTheLastSyncEndsTheLog(t *testing.T) {
	s := newSmall(t, false)
	if len(s.records) != 15 {
		t.Fatalf("%d records", len(s.records))
	}
	last := s.names[2]
	thirteen := s.records[12]
	disk := s.disk()
	bad := slices.Clone(s.files[last])
	bad[thirteen.At.Offset+14] ^= 1
	disk.SetContent(last, bad)
	got, found := contents(t, disk)
	if want := s.records[:12]; !same(got, want) {
		t.Errorf("got %s\nwant %s", texts(got), texts(want))
	}
	if len(found) != 1 || !found[0].Torn || found[0].Offset != thirteen.At.Offset || found[0].Lost != (durable.Range{First: thirteen.Index}) {
		t.Fatalf("reported is %v", found)
	}
	aside, _ := disk.Content(found[0].Aside)
	if want := bad[thirteen.At.Offset:]; !bytes.Equal(aside, want) {
		t.Errorf("set aside is %x, want %x", aside, want)
	}
	if want := fmt.Sprintf("%s.torn-%d", last, thirteen.At.Offset); found[0].Aside != want {
		t.Errorf("set aside as %s, want %s", found[0].Aside, want)
	}
}

func TestASegmentOfANewerReleaseIsRefused(t *testing.T) {
	s := newSmall(t, true)
	disk := s.disk()
	newer := durable.WithPrelude(slices.Clone(s.files[s.names[1]]), 2)
	disk.SetContent(s.names[1], newer)
	// A file to be repaired, which must not be touched then.
	torn := append(slices.Clone(s.files[s.names[2]]), "torn"...)
	disk.SetContent(s.names[2], torn)
	_, _, err := durable.Open(lifeDir, durable.Options{FS: disk})
	if !errors.Is(err, durable.ErrNewerFormat) || !strings.Contains(err.Error(), s.names[1]) {
		t.Fatalf("got %v", err)
	}
	if names := disk.Names(); !slices.Equal(names, s.names) {
		t.Errorf("now there are %v", names)
	}
	if now, _ := disk.Content(s.names[2]); !bytes.Equal(now, torn) {
		t.Error("the last segment was changed")
	}
}

func TestAMissingFileIsReported(t *testing.T) {
	s := newSmall(t, true)
	disk := s.disk()
	check(t, disk.Remove(s.names[1]))
	got, found := contents(t, disk)
	if want := s.without(2, 0, 1<<40); !same(got, want) {
		t.Errorf("got %s\nwant %s", texts(got), texts(want))
	}
	if len(found) != 1 || found[0].File != s.names[0] || found[0].Lost != (durable.Range{First: 5, End: 10}) {
		t.Errorf("reported is %v", found)
	}
}

func TestFilesThatAreNotTheLogsAreLeftAlone(t *testing.T) {
	s := newSmall(t, true)
	disk := s.disk()
	for _, name := range []string{"notes.txt", "1.log", "000000000000.log", "00000000000x.log", "000000000004.logs"} {
		disk.SetContent(filepath.Join(lifeDir, name), []byte("mine"))
	}
	before := len(disk.Names())
	got, found := contents(t, disk)
	if !same(got, s.records) || len(found) > 0 || len(disk.Names()) != before {
		t.Errorf("got %s, %v, %v", texts(got), found, disk.Names())
	}
}
