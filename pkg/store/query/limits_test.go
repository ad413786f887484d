package query

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

type partOf = schemas.Part

// longWorld is hosts with many rows.
func longWorld(tb testing.TB, hosts, rows int) *world {
	w := newWorld(tb)
	part := catalog(w)[4]
	for h := range hosts {
		lane := laneID{w.source(h+1, "instance", string(rune('a'+h%26))+string(rune('a'+h/26))), 1}
		var all []stored
		for i := range rows {
			all = append(all, stored{model.Millis(start + 1000*i), []*partOf{part}, []float64{float64(i), 2, 3}})
		}
		w.store(lane, form(h%3), all...)
	}
	return w
}

func TestAQueryOfTooManySamplesSaysSo(t *testing.T) {
	w := longWorld(t, 4, 100)
	for _, c := range []struct {
		samples int64
		want    error
	}{{1200, nil}, {1199, ErrLimit}, {10, ErrLimit}} {
		_, _, err := read(t, w.queryable(func(o *Options) { o.Samples = c.samples }), start, math.MaxInt64, everything)
		if !errors.Is(err, c.want) {
			t.Errorf("limit %d: %v, want %v", c.samples, err, c.want)
		}
	}
}

func TestWhatIsTooMuchToKeepIsReadAgain(t *testing.T) {
	w := longWorld(t, 4, 100)
	truth := w.truth(lookback)
	for _, memory := range []model.Bytes{0, 1, 8 * 501, 8 * 900, 1 << 20} {
		got, warnings, err := read(t, w.queryable(func(o *Options) { o.Memory = memory }), start, math.MaxInt64, everything)
		if err != nil || len(warnings) > 0 {
			t.Fatal(err, warnings)
		}
		if d := differences(got, truth, start, math.MaxInt64); d != "" {
			t.Fatal(d)
		}
	}
}

func TestAQueryEndsWithItsContext(t *testing.T) {
	w := longWorld(t, 2, 10)
	q, err := w.queryable().Querier(start, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	ctx, cancel := context.WithCancel(t.Context())
	set := q.Select(ctx, false, nil, everything)
	cancel()
	if set.Next() || !errors.Is(set.Err(), context.Canceled) {
		t.Errorf("error %v, want %v", set.Err(), context.Canceled)
	}
}

func TestAClosedQuerierGivesErrors(t *testing.T) {
	w := longWorld(t, 1, 10)
	q, err := w.queryable().Querier(start, math.MaxInt64)
	if err != nil {
		t.Fatal(err)
	}
	set := q.Select(t.Context(), false, nil, everything)
	late := q.Select(t.Context(), false, nil, everything)
	if !set.Next() {
		t.Fatal(set.Err())
	}
	s := set.At()
	if err := errors.Join(q.Close(), q.Close()); err != nil {
		t.Fatal(err)
	}
	if it := s.Iterator(nil); it.Next() != chunkenc.ValNone || it.Err() == nil {
		t.Error("a series gives samples after the querier is closed")
	}
	if late.Next() || late.Err() == nil {
		t.Error("a selection is read after the querier is closed")
	}
	if set := q.Select(t.Context(), false, nil, everything); set.Next() || set.Err() == nil {
		t.Error("a closed querier selects")
	}
}

// viewed is a world with views.
type viewed struct {
	*world
	views, released atomic.Int64
	mint, maxt      model.Millis
}

func (v *viewed) View(mint, maxt model.Millis) View {
	v.views.Add(1)
	v.mint, v.maxt = mint, maxt
	return viewOf{v}
}

type viewOf struct{ *viewed }

func (v viewOf) Release() { v.released.Add(1) }

func TestAViewLastsAsLongAsTheQuerier(t *testing.T) {
	v := &viewed{world: longWorld(t, 3, 10)}
	q, err := New(v.dictionary, v, DefaultOptions()).Querier(start, start+5000)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		for set := q.Select(t.Context(), false, nil, everything); set.Next(); {
			drained(t, set.At().Iterator(nil))
		}
	}
	if v.views.Load() != 1 || v.released.Load() != 0 || v.mint > start || v.maxt != start+5000 {
		t.Errorf("%d views from %d to %d, %d released", v.views.Load(), v.mint, v.maxt, v.released.Load())
	}
	q.Close()
	q.Close()
	if v.released.Load() != 1 {
		t.Errorf("released %d times, want once", v.released.Load())
	}
}

func TestReadersAreClosed(t *testing.T) {
	var open atomic.Int64
	w := longWorld(t, 6, 20)
	for _, pieces := range w.pieces {
		for _, p := range pieces {
			if m, is := p.(*memoryPiece); is {
				m.open = &open
			}
		}
	}
	if _, _, err := read(t, w.queryable(func(o *Options) { o.Memory = 1 }), start, math.MaxInt64, everything); err != nil {
		t.Fatal(err)
	}
	if n := open.Load(); n != 0 {
		t.Errorf("%d readers are open", n)
	}
}

func TestManyQueriesAtOnce(t *testing.T) {
	w := randomWorld(t, rand.New(rand.NewPCG(3, 3)))
	long := longWorld(t, 40, 50)
	q := w.queryable(func(o *Options) { o.Lookback = 100 * time.Second })
	longQ := long.queryable(func(o *Options) { o.Memory = 8 * 4000 })
	truth, longTruth := w.truth(lookback), long.truth(lookback)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 5 {
				for _, c := range []struct {
					q     *queryable
					truth map[string][]sample
				}{{q, truth}, {longQ, longTruth}} {
					querier, err := c.q.Querier(math.MinInt64, math.MaxInt64)
					if err != nil {
						t.Error(err)
						return
					}
					if d := differences(selected(t, querier, true, nil, everything), c.truth, math.MinInt64, math.MaxInt64); d != "" {
						t.Error(d)
					}
					querier.Close()
				}
			}
		})
	}
	all.Wait()
}

func TestOptionsNameWhatCannotWork(t *testing.T) {
	if err := DefaultOptions().Validate(); err != nil {
		t.Error(err)
	}
	if err := (Options{}).Validate(); err == nil {
		t.Error("no memory and no samples are accepted")
	}
}
