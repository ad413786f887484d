package query

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"golang.org/x/sys/unix"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/block"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

var errBroken = errors.New("file 3, byte 17: broken")

var everything = labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, ".+")

// read is what a selection gives although something is damaged.
func read(tb testing.TB, q *queryable, mint, maxt int64, matchers ...*labels.Matcher) (all map[string][]sample, warnings []error, err error) {
	tb.Helper()
	querier, err := q.Querier(mint, maxt)
	if err != nil {
		tb.Fatal(err)
	}
	defer querier.Close()
	set := querier.Select(tb.Context(), false, nil, matchers...)
	all = map[string][]sample{}
	var series []storage.Series
	for set.Next() {
		series = append(series, set.At())
	}
	if set.Err() != nil {
		return nil, nil, set.Err()
	}
	for _, s := range series {
		all[s.Labels().String()] = drained(tb, s.Iterator(nil))
	}
	return all, set.Warnings().AsErrors(), nil
}

// damaged makes something of some pieces fail. It returns the world as it is without that: rows
// of a lane that nobody can read, and values that are absent instead of unknown.
func (w *world) damaged(c chooser) *world {
	without := &world{tb: w.tb, dictionary: w.dictionary, lanes: map[laneID]rowsOf{}, order: w.order}
	for _, id := range w.order {
		without.lanes[id] = rowsOf{}
		for _, p := range w.pieces[id] {
			piece := p.(*memoryPiece)
			rows := piece.rows
			what := ""
			switch c.IntN(8) {
			case 0, 1:
				what, rows = []string{"open", "times"}[c.IntN(2)], nil
			case 2, 3:
				row := rows[c.IntN(len(rows))]
				if row.parts == nil {
					break
				}
				part := row.parts[c.IntN(len(row.parts))]
				what = "select " + part.ID().String()
				lost := func(int) bool { return true }
				if c.IntN(2) == 0 {
					column := c.IntN(part.Columns())
					what = fmt.Sprintf("column %v %d", part.ID(), column)
					lost = func(k int) bool { return k == column }
				}
				rows = slices.Clone(rows)
				for i := range rows {
					at := 0
					values := slices.Clone(rows[i].values)
					for _, p := range rows[i].parts {
						for k := range p.Columns() {
							if p == part && lost(k) {
								values[at+k] = model.Absent()
							}
						}
						at += p.Columns()
					}
					rows[i].values = values
				}
			}
			if what != "" {
				piece.fails = func(asked string) error {
					if asked == what {
						return errBroken
					}
					return nil
				}
			}
			for _, r := range rows {
				if _, twice := without.lanes[id][r.at]; !twice {
					without.lanes[id][r.at] = r
				}
			}
		}
	}
	return without
}

func TestDamageCostsWhatItHit(t *testing.T) {
	values := func(all []sample) (some []sample) {
		for _, s := range all {
			if !model.IsAbsent(s.v) {
				some = append(some, s)
			}
		}
		return some
	}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 6))
		w := newWorld(t)
		g := &gen{chooser: r, w: w, parts: catalog(w), spans: []model.Millis{1000, 15000}, only: inMemoryFew}
		source := w.source(1, "instance", "a")
		for s := range 1 + r.IntN(3) {
			g.lane(laneID{source, model.StreamID(s + 1)})
		}
		whole := w.truth(lookback)
		left := w.damaged(r).truth(lookback)
		q := w.queryable(func(o *Options) {
			o.Lookback = 100 * time.Second
			if r.IntN(2) == 0 {
				o.Memory = 1
			}
		})
		got, warnings, err := read(t, q, math.MinInt64, math.MaxInt64, everything)
		if err != nil {
			t.Fatal(err)
		}
		for name := range whole {
			if got, want := values(got[name]), values(left[name]); !slices.EqualFunc(got, want, sample.is) {
				t.Errorf("seed %d: %s: got %v, want %v", seed, name, got, want)
			}
			if len(warnings) == 0 && !slices.EqualFunc(within(got[name], math.MinInt64, math.MaxInt64), within(whole[name], math.MinInt64, math.MaxInt64), sample.is) {
				t.Errorf("seed %d: %s: got %v without a warning, want %v", seed, name, got[name], whole[name])
			}
		}
		for _, w := range warnings {
			if !errors.Is(w, errBroken) {
				t.Errorf("warning %v, want one of %v", w, errBroken)
			}
		}
	}
}

func TestFlippedBytesOfBlocksAreFound(t *testing.T) {
	w := newWorld(t)
	g := &gen{chooser: rand.New(rand.NewPCG(1, 7)), w: w, parts: catalog(w), spans: []model.Millis{15000}, only: inBlock}
	lane := laneID{w.source(1, "instance", "a"), 1}
	for len(w.pieces[lane]) < 4 {
		g.lane(lane)
	}
	truth := w.truth(lookback)
	q := w.queryable(func(o *Options) { o.Lookback = 100 * time.Second })
	for _, p := range w.pieces[lane] {
		s, is := p.(sealed)
		if !is {
			continue
		}
		bytes := s.from.(sealedBytes)
		for i := range bytes {
			bytes[i] ^= 0x10
			got, warnings, err := read(t, q, math.MinInt64, math.MaxInt64, everything)
			bytes[i] ^= 0x10
			if err != nil {
				t.Fatal(err)
			}
			for _, w := range warnings {
				if !strings.Contains(w.Error(), "file 7") {
					t.Errorf("byte %d: warning %q does not say where", i, w)
				}
			}
			if len(warnings) > 0 {
				continue
			}
			for name := range truth {
				if want := within(truth[name], math.MinInt64, math.MaxInt64); !slices.EqualFunc(within(got[name], math.MinInt64, math.MaxInt64), want, sample.is) {
					t.Fatalf("byte %d: %s: got %v without a warning, want %v", i, name, got[name], want)
				}
			}
		}
	}
}

func TestManyWarningsAreCounted(t *testing.T) {
	w := newWorld(t)
	lane := laneID{w.source(1, "instance", "a"), 1}
	part := catalog(w)[3]
	for i := range 30 {
		w.store(lane, inMemory, stored{model.Millis(start + i), []*partOf{part}, []float64{1}})
		w.pieces[lane][i].(*memoryPiece).fails = func(string) error { return fmt.Errorf("byte %d: %w", i, errBroken) }
	}
	_, warnings, err := read(t, w.queryable(), start, start+100, everything)
	if err != nil || len(warnings) != 11 {
		t.Errorf("%d warnings, %v; want 11: %v", len(warnings), err, warnings)
	}
}

func TestPiecesThatMoveAreReadElsewhere(t *testing.T) {
	for _, c := range []struct {
		what  string
		times int
		want  string
	}{
		{"open", 1, "1@1 2@16 3@31"}, {"times", 3, "1@1 2@16 3@31"}, {"column", 2, "1@1 2@16 3@31"}, {"select", 1, "1@1 2@16 3@31"},
		{"open", 100, ""},
	} {
		for _, late := range []string{"1: 3@31", "1: 2@1 2@16 3@31"} { // apart, and overlapping
			w := newWorld(t)
			lanesOf(t, w, "1: 1@1 2@16", late)
			left := c.times
			for _, pieces := range w.pieces {
				for i, p := range pieces {
					if s, is := p.(sealed); is {
						opened, err := s.from.Block(nil)
						if err != nil {
							t.Fatal(err)
						}
						pieces[i] = unsealed(t, w, opened, s)
					}
					pieces[i].(*memoryPiece).fails = func(asked string) error {
						if strings.HasPrefix(asked, c.what) && left > 0 {
							left--
							return fmt.Errorf("%s: %w", asked, ErrMoved)
						}
						return nil
					}
				}
			}
			got, warnings, err := read(t, w.queryable(), 0, 1_000_000, isUp)
			if c.want == "" {
				if !errors.Is(err, ErrMoved) {
					t.Errorf("%v: error %v, want ErrMoved", c, err)
				}
				continue
			}
			if text := told(got[`{__name__="up", instance="web"}`]); err != nil || len(warnings) > 0 || text != c.want {
				t.Errorf("%v: got %s, %v, %v, want %s", c, text, warnings, err, c.want)
			}
		}
	}
}

// unsealed is a piece of the rows of a world that a block holds.
func unsealed(tb testing.TB, w *world, b *block.Block, s sealed) *memoryPiece {
	tb.Helper()
	p := &memoryPiece{rank: s.rank}
	for id, rows := range w.lanes {
		if id.stream != b.Stream() {
			continue
		}
		for _, r := range rows.sorted() {
			if r.at >= s.first && r.at <= s.last {
				p.rows = append(p.rows, r)
			}
		}
	}
	return p
}

func TestAPageThatTheDiskDoesNotGiveIsAWarning(t *testing.T) {
	w := newWorld(t)
	lane := laneID{w.source(1, "instance", "a"), 1}
	part := catalog(w)[3]
	w.store(lane, inBlock, stored{start, []*partOf{part}, []float64{1}}, stored{start + 15000, []*partOf{part}, []float64{2}})
	w.store(lane, inBlock, stored{start + 30000, []*partOf{part}, []float64{3}})
	s := w.pieces[lane][0].(sealed)
	path := filepath.Join(t.TempDir(), "block")
	if err := os.WriteFile(path, s.from.(sealedBytes), 0o600); err != nil {
		t.Fatal(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	mapped, err := unix.Mmap(int(file.Fd()), 0, len(s.from.(sealedBytes)), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Munmap(mapped)
	if !bytes.Equal(mapped, s.from.(sealedBytes)) {
		t.Fatal("not what was written")
	}
	w.pieces[lane][0] = Sealed(sealedBytes(mapped), s.first, s.last, s.rank)
	if err := file.Truncate(0); err != nil {
		t.Fatal(err)
	}
	got, warnings, err := read(t, w.queryable(), start, start+100_000, everything)
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0].Error(), "file 7") {
		t.Errorf("warnings %v, %v, want one that says where", warnings, err)
	}
	if one := got[`{__name__="free", instance="a"}`]; len(one) != 1 || one[0].v != 3 {
		t.Errorf("got %v, want what is in the other block", one)
	}
}

func TestBlocksOfAVolumeArePieces(t *testing.T) {
	w := newWorld(t)
	lane := laneID{w.source(1, "instance", "a"), 1}
	part := catalog(w)[3]
	w.store(lane, inBlock, stored{start, []*partOf{part}, []float64{1}}, stored{start + 15000, []*partOf{part}, []float64{2}})
	w.store(lane, inBlock, stored{start + 30000, []*partOf{part}, []float64{3}})
	set, _, err := volume.Open(t.TempDir(), volume.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	writer, err := set.Create(volume.Raw)
	if err != nil {
		t.Fatal(err)
	}
	key := volume.Key{Worker: lane.source.Worker(), Stream: 1}
	for _, p := range w.pieces[lane] {
		if err := writer.Add(volume.Entry{Key: key}, p.(sealed).from.(sealedBytes)); err != nil {
			t.Fatal(err)
		}
	}
	file, err := writer.Commit()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Release()
	entries, err := file.Find(nil, key, start, start+100_000)
	if err != nil || len(entries) != 2 {
		t.Fatal(entries, err)
	}
	w.pieces[lane] = nil
	for i, e := range entries {
		w.pieces[lane] = append(w.pieces[lane], InVolume(file, e, uint64(i)))
	}
	got, warnings, err := read(t, w.queryable(), start, start+100_000, everything)
	if err != nil || len(warnings) > 0 {
		t.Fatal(warnings, err)
	}
	if d := differences(got, w.truth(lookback), start, start+100_000); d != "" {
		t.Error(d)
	}
}
