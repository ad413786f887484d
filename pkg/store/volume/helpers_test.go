package volume

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/durable/durabletest"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
)

// memory is a durabletest.Disk whose files can be mapped: as copies.
type memory struct{ *durabletest.Disk }

func newMemory() memory { return memory{durabletest.New(1)} }

func (m memory) Map(name string) ([]byte, func() error, error) {
	data, ok := m.Content(name)
	if !ok {
		return nil, nil, fmt.Errorf("map %q: %w", name, os.ErrNotExist)
	}
	return data, func() error { return nil }, nil
}

func (m memory) Advise([]byte) {}

func (m memory) Link(from, to string) error {
	if _, there := m.Content(to); there {
		return fmt.Errorf("link to %q: %w", to, os.ErrExist)
	}
	return errors.ErrUnsupported
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// at is when things were made in tests.
var at = time.Date(2026, 11, 22, 1, 20, 0, 0, time.UTC)

func deps(fs FS) Deps { return Deps{FS: fs, Now: func() time.Time { return at }} }

const dir = "volumes"

// lane is one to test with.
type lane struct {
	worker model.WorkerID
	labels []labels.Label
	stream model.StreamID
}

func laneOf(n int) lane {
	return lane{
		worker: model.WorkerID{15: byte(n / 3), 14: byte(n / 3 >> 8), 0: byte(n / 3 * 37)},
		labels: []labels.Label{{Name: "instance", Value: fmt.Sprintf("host-%d", n/3)}, {Name: "job", Value: "node"}},
		stream: model.StreamID(n % 3),
	}
}

func (l lane) key() Key { return KeyOf(l.worker, l.labels, l.stream) }

// sealed makes a block of so many rows a second apart, of one part of two columns.
func (l lane) sealed(t testing.TB, start model.Millis, rows int) []byte {
	t.Helper()
	w := block.NewWriter()
	w.Begin(l.worker, l.stream)
	check(t, w.Schema([]block.Part{{ID: frame.PartID{1}, Scales: []uint8{0, 2}}}))
	random := rand.New(rand.NewPCG(uint64(start), uint64(rows)))
	for i := range rows {
		check(t, w.Append(start+model.Millis(i)*1000, []float64{float64(random.IntN(100)), float64(i) / 100}))
	}
	return w.Seal(nil)
}

// part is an encoded part.
func partOf(t testing.TB, metric string) []byte {
	t.Helper()
	encoded, err := frame.AppendPart(nil, model.Part{Collector: "cpu", Families: []model.Family{{Name: metric, Type: model.Gauge, Series: []model.Labels{nil}}}})
	check(t, err)
	return encoded
}

// content is all that is read of a volume.
type content struct {
	entries []Entry
	blocks  map[int64][]byte // by offset
	parts   []string
	schemas []string
	sources []string
	spans   []Span
}

// read reads all of a file. errs are the errors that came up.
func read(f *File) (c content, errs []error) {
	c.blocks = map[int64][]byte{}
	err := f.Each(func(e Entry) error {
		c.entries = append(c.entries, e)
		if e.Size == 0 {
			return nil
		}
		b, err := f.Block(e, nil)
		if err == nil {
			err = f.Locate(e, Guard(func() error { return block.NewReader().Verify(b) }))
		}
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		c.blocks[e.Offset] = bytes.Clone(f.data[e.Offset:e.end()])
		return nil
	})
	if err != nil {
		errs = append(errs, err)
	}
	for _, e := range c.entries {
		found, err := f.Find(nil, e.Key, e.First, e.First)
		if err != nil {
			errs = append(errs, err)
		}
		if !slices.Contains(found, e) {
			errs = append(errs, fmt.Errorf("%+v is not found", e))
		}
	}
	err = f.Definitions(Visitor{
		Part:   func(b []byte) error { c.parts = append(c.parts, string(b)); return nil },
		Schema: func(b []byte) error { c.schemas = append(c.schemas, string(b)); return nil },
		Source: func(w model.WorkerID, ls []labels.Label) error {
			c.sources = append(c.sources, fmt.Sprint(w, ls))
			return nil
		},
		Span: func(s Span) error { c.spans = append(c.spans, s); return nil },
	})
	if err != nil {
		errs = append(errs, err)
	}
	return c, errs
}

// small makes a volume of the lanes, two blocks each, and two entries without a block.
func small(t testing.TB, w *Writer, lanes int) {
	t.Helper()
	schema := frame.AppendSchema(nil, frame.Schema{Parts: []frame.PartID{frame.PartIDOf(partOf(t, "node_a")), frame.PartIDOf(partOf(t, "node_b"))}})
	for n := range lanes {
		l := laneOf((n * 7) % lanes) // not in their order
		for _, start := range []model.Millis{5_000_000, 1_000_000} {
			check(t, w.Add(Entry{Key: l.key(), Flags: uint8(n)}, l.sealed(t, start+model.Millis(n), 3)))
		}
		if n < 2 {
			check(t, w.Add(Entry{Key: l.key(), First: 9_000_000, Last: 9_000_000, Rows: uint32(n), Flags: 1}, nil))
		}
		check(t, w.Part(partOf(t, "node_a")))
		check(t, w.Part(partOf(t, "node_b")))
		check(t, w.Schema(schema))
		check(t, w.Source(l.worker, l.labels))
		check(t, w.Span(l.key(), frame.SchemaID{7}, 1_000_000, 5_000_000))
	}
}

func smallFile(t testing.TB, fs FS, lanes int) []byte {
	t.Helper()
	w, err := Create(dir, 7, Raw, deps(fs))
	check(t, err)
	small(t, w, lanes)
	f, err := w.Commit()
	check(t, err)
	defer f.Release()
	return bytes.Clone(f.data)
}

var smallName = filepath.Join(dir, "00000007.raw")
