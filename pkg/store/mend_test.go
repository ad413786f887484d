package store

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/tsdb/record"
	"github.com/prometheus/prometheus/tsdb/wlog"
	"github.com/prometheus/prometheus/util/compression"
)

// lateLog makes a log of the given segments; a record is the time of its
// sample, 0 stands for a marker.
func lateLog(t *testing.T, segments ...[]int64) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), wblName)
	log, err := wlog.New(nil, nil, dir, compression.Snappy)
	if err != nil {
		t.Fatal(err)
	}
	var encoder record.Encoder
	for i, times := range segments {
		if i > 0 {
			if _, err := log.NextSegmentSync(); err != nil {
				t.Fatal(err)
			}
		}
		for _, at := range times {
			encoded := encoder.Samples([]record.RefSample{{Ref: 1, T: at}}, nil)
			if at == 0 {
				encoded = encoder.MmapMarkers([]record.RefMmapMarker{{Ref: chunks.HeadSeriesRef(1)}}, nil)
			}
			if err := log.Log(encoded); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

// readLateLog is the reverse of lateLog.
func readLateLog(t *testing.T, dir string) (segments [][]int64) {
	t.Helper()
	first, last, err := wlog.Segments(dir)
	if err != nil {
		t.Fatal(err)
	}
	for i := first; i <= last; i++ {
		f, err := wlog.OpenReadSegment(wlog.SegmentName(dir, i))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		decoder := record.NewDecoder(nil, nil)
		var times []int64
		in := wlog.NewReader(wlog.NewSegmentBufReader(f))
		for in.Next() {
			if decoder.Type(in.Record()) == record.MmapMarkers {
				times = append(times, 0)
				continue
			}
			samples, err := decoder.Samples(in.Record(), nil)
			if err != nil || len(samples) != 1 {
				t.Fatalf("%d samples, error %v", len(samples), err)
			}
			times = append(times, samples[0].T)
		}
		if err := in.Err(); err != nil {
			t.Fatalf("segment %d: %v", i, err)
		}
		segments = append(segments, times)
	}
	return segments
}

func TestDropMarkers(t *testing.T) {
	tests := map[string]struct {
		segments [][]int64
		damage   func(segment []byte) []byte // of the first segment
		want     [][]int64
	}{
		"markers":      {segments: [][]int64{{1, 0, 2}, {3}, {0}, {0, 4}}, want: [][]int64{{1, 2}, {3}, nil, {4}}},
		"no markers":   {segments: [][]int64{{1, 2}, {3}}, want: [][]int64{{1, 2}, {3}}},
		"nothing":      {segments: [][]int64{nil}, want: [][]int64{nil}},
		"end torn off": {segments: [][]int64{{1, 2, 3}, {4, 0, 5}}, damage: tearRecord, want: [][]int64{{1, 2}, {4, 5}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			dir := lateLog(t, test.segments...)
			if test.damage != nil {
				path := wlog.SegmentName(dir, 0)
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, test.damage(b), 0o640); err != nil {
					t.Fatal(err)
				}
			}
			scratch := filepath.Join(t.TempDir(), scratchName)
			for range 2 { // the second time there is nothing to do
				if err := dropMarkers(slog.New(slog.NewTextHandler(io.Discard, nil)), dir, scratch); err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, readLateLog(t, dir)); diff != "" {
					t.Errorf("records (-want +got):\n%s", diff)
				}
			}
			if _, err := os.Stat(scratch); !os.IsNotExist(err) {
				t.Errorf("scratch folder: got error %v, want that it does not exist", err)
			}
		})
	}
}

// tearRecord cuts a segment in the middle of its last record.
func tearRecord(segment []byte) []byte {
	segment = bytes.TrimRight(segment, "\x00")
	return segment[:len(segment)-3]
}

func TestDropMarkersWithoutALog(t *testing.T) {
	dir := t.TempDir()
	if err := dropMarkers(slog.New(slog.NewTextHandler(io.Discard, nil)), filepath.Join(dir, wblName), filepath.Join(dir, scratchName)); err != nil {
		t.Fatal(err)
	}
}

// TestOnlyATidyEndIsMarked: the mark must not outlive the start that saw it.
func TestOnlyATidyEndIsMarked(t *testing.T) {
	config := testConfig(t.TempDir())
	path := filepath.Join(config.Dir, closedName)
	for range 2 {
		s := open(t, config)
		if _, err := os.Stat(path); !os.IsNotExist(err) {
			t.Errorf("while the store is open: got error %v, want that the mark does not exist", err)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(path); err != nil {
			t.Errorf("after a tidy end: %v", err)
		}
	}
	s := open(t, config)
	s.fail(os.ErrInvalid)
	if err := s.Close(); err == nil {
		t.Error("a store that failed closed without an error")
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("after a failure: got error %v, want that the mark does not exist", err)
	}
}
