package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/feed"
)

// feedTest is a store with a feed, and what must be in it.
type feedTest struct {
	*testing.T
	config Config
	clock  *atomic.Int64 // in milliseconds; the store looks at it as well
	store  *Store
	feed   *Feed
	want   map[string]map[int64]uint64 // series, time, bits
}

func newFeedTest(t *testing.T, change func(*Config)) *feedTest {
	f := &feedTest{T: t, config: testConfig(t.TempDir()), clock: new(atomic.Int64), want: map[string]map[int64]uint64{}}
	f.clock.Store(testNow.UnixMilli())
	if change != nil {
		change(&f.config)
	}
	f.reopen()
	t.Cleanup(func() { closeStore(t, f.store) })
	return f
}

func (f *feedTest) now() time.Time { return time.UnixMilli(f.clock.Load()) }

func (f *feedTest) wait(d time.Duration) { f.clock.Add(d.Milliseconds()) }

func (f *feedTest) reopen() {
	f.Helper()
	if f.store != nil {
		closeStore(f.T, f.store)
	}
	deps := testDeps()
	deps.Now = f.now
	s, err := Open(f.config, deps)
	if err != nil {
		f.Fatal(err)
	}
	f.store = s
	if f.feed, err = s.Feed("test"); err != nil {
		f.Fatal(err)
	}
}

// one is a sample of a test.
type one struct {
	series labels.Labels
	t      int64
	v      float64
}

// commit commits samples of which Append takes all.
func (f *feedTest) commit(samples ...one) {
	f.Helper()
	a := f.feed.Appender(context.Background())
	for _, s := range samples {
		if _, err := a.Append(0, s.series, s.t, s.v); err != nil && !errors.Is(err, storage.ErrDuplicateSampleForTimestamp) {
			f.Fatalf("append %v at %d: %v", s.series, s.t, err)
		}
		f.expect(s)
	}
	if err := a.Commit(); err != nil {
		f.Fatal(err)
	}
}

// expect notes a sample: the first of a time counts.
func (f *feedTest) expect(s one) {
	name := s.series.String()
	if f.want[name] == nil {
		f.want[name] = map[int64]uint64{}
	}
	if _, known := f.want[name][s.t]; !known {
		f.want[name][s.t] = math.Float64bits(s.v)
	}
}

// check compares all samples of the store with what must be there. A marker without a value
// before it is nothing.
func (f *feedTest) check(when string) {
	f.Helper()
	got := f.read(math.MinInt64/4, math.MaxInt64/4)
	for _, name := range slices.Sorted(maps.Keys(f.want)) {
		var want []string
		live := false
		for _, t := range slices.Sorted(maps.Keys(f.want[name])) {
			bits := f.want[name][t]
			if stale := bits == value.StaleNaN; live || !stale {
				want = append(want, fmt.Sprintf("%d:%x", t, bits))
				live = !stale
			}
		}
		if !slices.Equal(got[name], want) {
			f.Fatalf("%s: %s:\n got %v\nwant %v", when, name, got[name], want)
		}
		delete(got, name)
	}
	for name, samples := range got {
		if len(samples) > 0 {
			f.Fatalf("%s: %s: %v, want nothing", when, name, samples)
		}
	}
}

// read returns all samples.
func (f *feedTest) read(mint, maxt int64) map[string][]string {
	f.Helper()
	q, err := f.store.Queryable().Querier(mint, maxt)
	if err != nil {
		f.Fatal(err)
	}
	defer q.Close()
	found := map[string][]string{}
	set := q.Select(context.Background(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, ".+"))
	for set.Next() {
		var samples []string
		it := set.At().Iterator(nil)
		for it.Next() != chunkenc.ValNone {
			t, v := it.At()
			samples = append(samples, fmt.Sprintf("%d:%x", t, math.Float64bits(v)))
		}
		if it.Err() != nil {
			f.Fatal(it.Err())
		}
		found[set.At().Labels().String()] = samples
	}
	if set.Err() != nil || len(set.Warnings()) > 0 {
		f.Fatal(set.Err(), set.Warnings())
	}
	return found
}

func stale() float64 { return math.Float64frombits(value.StaleNaN) }

func numbered(n int) labels.Labels {
	return labels.FromStrings(labels.MetricName, fmt.Sprintf("metric_%d", n%7), "instance", fmt.Sprint("host", n), "job", "x")
}

func TestFeedAgainstAModel(t *testing.T) {
	for seed := range uint64(24) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			f := newFeedTest(t, nil)
			r := rand.New(rand.NewPCG(seed, 1))
			series, step := 5+r.IntN(80), int64(1+r.IntN(15_000))
			odd := []float64{stale(), math.NaN(), math.Inf(1), math.Copysign(0, -1), math.Float64frombits(0x7ff0000000000001), math.Float64frombits(0xfff8000000000007), 1e300}
			at := f.now().Add(-time.Hour).UnixMilli()
			since := at - 30*step // it is not sure which of two samples of one time counts when the series was forgotten in between
			for range 150 {
				switch r.IntN(12) {
				case 0:
					pass(t, f.store)
				case 1:
					if r.IntN(3) == 0 {
						f.reopen()
						at += step
						since = at
					}
				case 2:
					f.wait(time.Duration(r.IntN(90)) * time.Minute)
					at += step
					since = at
				case 3, 4, 5:
					at += step
				}
				var samples []one
				from, n := r.IntN(series), 1+r.IntN(series)
				for i := range n {
					when := at
					if r.IntN(40) == 0 {
						when = max(since, when-step*int64(r.IntN(30)))
					}
					v := float64(r.IntN(1000)) / 8
					if r.IntN(20) == 0 {
						v = odd[r.IntN(len(odd))]
					}
					samples = append(samples, one{numbered((from + i) % series), when, v})
				}
				f.commit(samples...)
				if r.IntN(10) == 0 {
					f.check("on the way")
				}
			}
			f.check("at the end")
			pass(t, f.store)
			f.check("sealed")
			f.reopen()
			f.check("opened again")
		})
	}
}

// Of equal times the first counts, also when it came in another commit and the series has moved
// to another sheet meanwhile.
func TestFeedRowsOfOneTime(t *testing.T) {
	f := newFeedTest(t, nil)
	at := f.now().UnixMilli()
	for n := range 100 { // as the rules of one group
		f.commit(one{numbered(n), at, float64(n)})
	}
	for n := range 100 {
		f.commit(one{numbered(n), at, -1})
		f.commit(one{numbered(n), at + 1000, float64(n)})
	}
	f.commit(one{numbered(3), at + 2000, 3})
	for n := range 100 {
		f.commit(one{numbered(n), at + 1000, -2}, one{numbered(n), at - 1000, float64(n)}, one{numbered(n), at, -2})
	}
	f.check("open")
	if s := f.feed.Stats(); s.Streams != 1 || s.Series != 100 {
		t.Errorf("%d series in %d streams, want 100 in 1", s.Series, s.Streams)
	}
	pass(t, f.store)
	f.check("sealed")
	f.commit(one{numbered(1), at + 1000, -4}, one{numbered(1), at + 1500, 5})
	f.check("both")
}

func TestFeedSeriesOfOtherTimesAreApart(t *testing.T) {
	f := newFeedTest(t, nil)
	at := f.now().UnixMilli()
	for round := range int64(20) {
		for group := range 10 {
			var samples []one
			for n := range 30 {
				samples = append(samples, one{numbered(100*group + n), at + 1000*round + int64(group), float64(n)})
			}
			f.commit(samples...)
		}
	}
	if s := f.feed.Stats(); s.Streams != 10 || s.Frames != 200 || s.Samples != 6000 {
		t.Errorf("%+v, want a stream for each of 10 groups, and a frame for each of 200 commits", s)
	}
	f.check("open")
}

func TestFeedSilentSeriesLeave(t *testing.T) {
	f := newFeedTest(t, func(c *Config) { c.MaxFeedSeries = 50 })
	at := func() int64 { return f.now().UnixMilli() }
	for n := range 50 {
		f.commit(one{numbered(n), at(), 1})
	}
	a := f.feed.Appender(context.Background())
	if _, err := a.Append(0, numbered(50), at(), 1); !errors.Is(err, feed.ErrTooManySeries) {
		t.Fatalf("one series too many: %v", err)
	}
	if _, err := a.Append(0, numbered(49), at()+1, 1); err != nil {
		t.Fatalf("a series that is there: %v", err)
	}
	if err := a.Commit(); err != nil {
		t.Fatal(err)
	}
	f.expect(one{numbered(49), at() + 1, 1})
	f.wait(59 * time.Minute)
	for n := range 10 {
		f.commit(one{numbered(n), at(), 2})
	}
	f.wait(2 * time.Minute)
	for n := range 40 {
		f.commit(one{numbered(100 + n), at(), 3})
	}
	if s := f.feed.Stats(); s.Series != 50 || s.TooMany != 1 {
		t.Errorf("%+v, want 50 series and one that was refused", s)
	}
	f.wait(2 * time.Hour)
	f.commit(one{numbered(0), at(), 4})
	if s := f.feed.Stats(); s.Series != 1 {
		t.Errorf("%d series after all but one were silent", s.Series)
	}
	f.check("open")
	pass(t, f.store)
	f.check("sealed")
}

func TestFeedRefuses(t *testing.T) {
	f := newFeedTest(t, nil)
	at := f.now().UnixMilli()
	f.commit(one{numbered(0), at, 1})
	long := make([]byte, 5000)
	for i := range long {
		long[i] = 'x'
	}
	plain := labels.FromStrings(labels.MetricName, "m")
	for name, c := range map[string]struct {
		series labels.Labels
		t      int64
		v      float64
		want   error
	}{
		"too old":       {plain, at - f.config.Retention.Milliseconds() - 1, 1, storage.ErrTooOldSample},
		"too far ahead": {plain, at + time.Hour.Milliseconds() + 1, 1, storage.ErrOutOfBounds},
		"another value": {numbered(0), at, 2, storage.ErrDuplicateSampleForTimestamp},
		"no name":       {labels.FromStrings("a", "b"), at, 1, feed.ErrInvalid},
		"long value":    {labels.FromStrings(labels.MetricName, "m", "a", string(long)), at, 1, feed.ErrInvalid},
		"not UTF-8":     {labels.FromStrings(labels.MetricName, "m", "a", "\xff"), at, 1, feed.ErrInvalid},
		"a label twice": {labels.FromStrings(labels.MetricName, "m", "a", "1", "a", "2"), at, 1, feed.ErrInvalid},
		"the end":       {plain, at, model.Ended(), feed.ErrInvalid},
	} {
		a := f.feed.Appender(context.Background())
		if _, err := a.Append(0, c.series, c.t, c.v); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err := a.Commit(); err != nil {
			t.Errorf("%s: commit of what is left: %v", name, err)
		}
	}
	a := f.feed.Appender(context.Background())
	if _, err := a.AppendHistogram(0, plain, at, &histogram.Histogram{}, nil); !errors.Is(err, feed.ErrHistogram) {
		t.Errorf("histogram: %v", err)
	}
	a.SetOptions(&storage.AppendOptions{DiscardOutOfOrder: true})
	if _, err := a.Append(0, numbered(0), at-1, 1); !errors.Is(err, storage.ErrOutOfOrderSample) {
		t.Errorf("out of order: %v", err)
	}
	if _, err := a.Append(0, numbered(1), at, 1); err != nil {
		t.Error(err)
	}
	if err := a.Rollback(); err != nil {
		t.Error(err)
	}
	f.check("after refusals")
	if err := f.feed.Close(); err != nil {
		t.Error(err)
	}
	a = f.feed.Appender(context.Background())
	if _, err := a.Append(0, plain, at, 1); err != nil {
		t.Error(err)
	}
	if err := a.Commit(); !errors.Is(err, feed.ErrClosed) {
		t.Errorf("commit to a closed feed: %v", err)
	}
}

func TestFeedReferencesAndMetadata(t *testing.T) {
	f := newFeedTest(t, nil)
	at := f.now().UnixMilli()
	first := f.feed.Appender(context.Background())
	if _, err := first.UpdateMetadata(0, numbered(1), metadata.Metadata{Type: "counter", Help: "What it counts."}); err != nil {
		t.Fatal(err)
	}
	if ref, err := first.Append(0, numbered(1), at, 1); err != nil || ref != 0 {
		t.Fatalf("a series that is not committed: reference %d, %v", ref, err)
	}
	if err := first.Commit(); err != nil {
		t.Fatal(err)
	}
	second := f.feed.Appender(context.Background())
	ref, err := second.Append(0, numbered(1), at+1, 2)
	if err != nil || ref == 0 {
		t.Fatalf("reference %d, %v", ref, err)
	}
	if again, err := second.Append(ref, labels.EmptyLabels(), at+2, 3); err != nil || again != ref {
		t.Fatalf("by reference: %d, %v", again, err)
	}
	if _, err := second.Append(ref+1<<32, labels.EmptyLabels(), at+2, 3); err == nil {
		t.Error("a reference to what was there before is taken for what is there now")
	}
	if err := second.Commit(); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		f.expect(one{numbered(1), at + int64(i), float64(i + 1)})
	}
	f.check("by reference")
	if got := f.store.Metadata("metric_1"); len(got) != 1 || got[0].Type != model.Counter || got[0].Help != "What it counts." {
		t.Errorf("metadata %+v", got)
	}
}

// Appenders work beside each other, and beside queries and passes.
func TestFeedConcurrently(t *testing.T) {
	f := newFeedTest(t, nil)
	var wg sync.WaitGroup
	at := f.now().UnixMilli()
	for writer := range 4 {
		wg.Go(func() {
			for round := range int64(60) {
				a := f.feed.AppenderV2(context.Background())
				for n := range 20 {
					if _, err := a.Append(0, numbered(15*writer+n), 0, at+round, float64(round), nil, nil, storage.AppendV2Options{}); err != nil {
						t.Error(err)
					}
				}
				if err := a.Commit(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 5 {
			pass(t, f.store)
			f.read(at, at+100)
		}
	})
	wg.Wait()
	for n := range 65 {
		for round := range int64(60) {
			f.expect(one{numbered(n), at + round, float64(round)})
		}
	}
	f.check("at the end")
	if err := f.feed.Flush(); err != nil {
		t.Error(err)
	}
}

// The series of a worker and of a feed are one when their labels are.
func TestFeedEndsMeetWorkers(t *testing.T) {
	f := newFeedTest(t, nil)
	other, err := f.store.Feed("other")
	if err != nil {
		t.Fatal(err)
	}
	at := f.now().UnixMilli()
	put := func(to *Feed, t int64, v float64) {
		f.Helper()
		a := to.Appender(context.Background())
		if _, err := a.Append(0, numbered(0), t, v); err != nil {
			f.Fatal(err)
		}
		if err := a.Commit(); err != nil {
			f.Fatal(err)
		}
		f.expect(one{numbered(0), t, v})
	}
	put(f.feed, at, 1)
	put(other, at+10, 2)
	put(f.feed, at+20, 3)
	put(other, at+30, stale()) // ends what the other feed has as well
	f.check("ended")
	put(f.feed, at+40, 4)
	f.check("goes on")
	if again, err := f.store.Feed("other"); err != nil || again != other {
		t.Errorf("the feed of a name is another the second time: %v", err)
	}
}
