package ledger

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
	"github.com/cloudless-fleet/cloudless/pkg/event"
)

// smallLedger writes a ledger with something of everything, and returns what is in
// it and its only file.
func smallLedger(t *testing.T) (entries []Entry, name string, content []byte, cfg Config) {
	t.Helper()
	b := newBench(t)
	b.cfg.MaxPerWorker = 16
	b.reopen()
	for seq := uint64(1); seq <= 20; seq++ {
		b.at += 1000
		b.Add(Report{workerOf(1), bootOf(1), seq, event.Gap{Cause: event.SpoolFull, From: b.at, To: b.at + 1, Frames: 1, Samples: 500, FirstSeq: seq, LastSeq: seq, Text: "full"}})
		if seq%4 == 0 {
			b.refuse(2, 1, seq, event.RefusedLimit)
			b.refuse(2, 1, seq+1, event.RefusedTooOld)
			b.sync()
		}
	}
	entries = b.all()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	names := b.disk.Names()
	if len(names) != 1 {
		t.Fatalf("files: %v", names)
	}
	content, _ = b.disk.Content(names[0])
	return entries, names[0], content, b.cfg
}

// open opens a ledger with that file.
func openWith(t *testing.T, name string, content []byte, cfg Config) (entries []Entry, found []*durable.Damage, err error) {
	t.Helper()
	disk := durabletest.New(1)
	disk.SetContent(name, content)
	b := &bench{t: t, disk: disk, cfg: cfg, at: start}
	l, found, err := Open(dir, cfg, Deps{FS: disk, Now: b.now})
	if err != nil {
		return nil, found, err
	}
	l.check(t)
	entries, _ = l.Find(Query{})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return entries, found, nil
}

// lost is how many frames are in the one and not in the other. What is in got must
// be in want, or be a part of what is.
func lost(t *testing.T, want, got []Entry) (frames uint64) {
	t.Helper()
	sum := map[event.Cause][2]uint64{}
	for _, e := range want {
		s := sum[e.Gap.Cause]
		sum[e.Gap.Cause] = [2]uint64{s[0] + e.Gap.Frames, s[1] + e.Gap.Samples}
	}
	for _, e := range got {
		s := sum[e.Gap.Cause]
		if s[0] < e.Gap.Frames || s[1] < e.Gap.Samples {
			t.Fatalf("made up: %+v", e)
		}
		sum[e.Gap.Cause] = [2]uint64{s[0] - e.Gap.Frames, s[1] - e.Gap.Samples}
	}
	for _, s := range sum {
		frames += s[0]
	}
	return frames
}

func TestEveryFlippedByteCostsWhatItHits(t *testing.T) {
	want, name, content, cfg := smallLedger(t)
	const header = 64
	for at := header; at < len(content); at++ {
		bad := slices.Clone(content)
		bad[at] ^= 0x41
		got, found, err := openWith(t, name, bad, cfg)
		if err != nil {
			t.Fatalf("byte %d: %v", at, err)
		}
		n := lost(t, want, got)
		if n > 0 && len(found) == 0 {
			t.Errorf("byte %d: %d frames are lost without a word", at, n)
		}
		// One record: a single frame, or the sums of a few entries, which come back.
		if n > 1 {
			t.Errorf("byte %d: %d frames are lost: %v", at, n, found)
		}
		for _, d := range found {
			if d.File != name || d.Offset > int64(at) || d.Offset < int64(at)-300 {
				t.Errorf("byte %d: found at %s, %d", at, d.File, d.Offset)
			}
		}
	}
}

func TestEveryTruncationCostsWhatIsCutOff(t *testing.T) {
	want, name, content, cfg := smallLedger(t)
	before := uint64(1 << 62)
	for size := range len(content) {
		got, _, err := openWith(t, name, content[:size], cfg)
		if err != nil {
			t.Fatalf("%d bytes: %v", size, err)
		}
		n := lost(t, want, got)
		if n > before {
			t.Errorf("%d bytes: %d frames are lost, with a byte less it were %d", size, n, before)
		}
		before = n
	}
	if before > 1 {
		t.Errorf("a byte less costs %d frames", before)
	}
}

// TestSumsThatAreDamagedGiveTheirEntriesBack: as long as these are in the log, they
// are neither lost nor counted twice.
func TestSumsThatAreDamagedGiveTheirEntriesBack(t *testing.T) {
	b := newBench(t)
	b.cfg.MaxPerWorker = 16
	b.reopen()
	for seq := uint64(1); seq <= 17; seq++ {
		b.Add(Report{workerOf(1), bootOf(1), seq, event.Gap{Cause: event.SpoolFull, From: start, To: start, Frames: 1, Samples: 500}})
		b.sync()
	}
	want := b.all()
	if want[0].Earlier == 0 {
		t.Fatalf("nothing was merged: %+v", want)
	}
	b.Close()
	name := b.disk.Names()[0]
	content, _ := b.disk.Content(name)
	id := workerOf(1)
	at := bytes.Index(content, append([]byte{byte(kindEarlier), byte(want[0].Earlier)}, id[:]...))
	content[at+5] ^= 1
	b.cfg.MaxPerWorker = 100
	got, found, err := openWith(t, name, content, b.cfg)
	if err != nil || len(found) == 0 || len(got) != 17 {
		t.Errorf("got %d entries, %v, %v", len(got), found, err)
	}
}

func TestAForeignRecord(t *testing.T) {
	write := func(records ...[]byte) *durabletest.Disk {
		disk := durabletest.New(1)
		log, _, err := durable.Open(dir, durable.Options{FS: disk})
		if err == nil {
			_, err = log.Append(records...)
		}
		if err == nil {
			err = log.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		return disk
	}
	good := appendRecord(nil, examples()[0])
	cfg := DefaultConfig()
	l, found, err := Open(dir, cfg, Deps{FS: write([]byte("\x01what is this"), good, []byte{0x15}), Now: (&bench{at: start}).now})
	if err != nil {
		t.Fatal(err)
	}
	if got, _ := l.Find(Query{}); len(got) != 1 || len(found) != 2 {
		t.Errorf("got %+v, %v", got, found)
	}
	for _, d := range found {
		if filepath.Dir(d.File) != dir || d.Offset < 64 || d.Lost.Count() != 1 {
			t.Errorf("found %+v", d)
		}
	}
	_, _, err = Open(dir, cfg, Deps{FS: write(good, []byte{0x21, 1})})
	if !errors.Is(err, durable.ErrNewerFormat) {
		t.Errorf("a newer version: got %v", err)
	}
	if _, err := os.Stat(dir); err == nil {
		t.Errorf("%s was made on the real disk", dir)
	}
}
