package store_test

import (
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// more asks for what takes minutes: more and larger fleets, every expression at every time.
var more = flag.Bool("oracle", false, "the tests against Prometheus take minutes, and look at more")

// expressions reads a file of them, one a line.
func expressions(tb testing.TB, file string) (all []string) {
	tb.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		tb.Fatal(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if seen[line] {
			tb.Errorf("%s: twice: %s", file, line)
		}
		seen[line] = true
		all = append(all, line)
	}
	return all
}

// oracle compares a driver's store with Prometheus.
type oracle struct {
	tb       testing.TB
	asker    *asker
	driver   *driver
	truth    []trueSeries
	theirs   storage.Queryable
	answers  map[question]answer // of theirs
	answered map[string]bool     // expressions that found something
	asked    int
	failures int
}

func newOracle(tb testing.TB, d *driver) *oracle {
	tb.Helper()
	truth := d.reference.truth()
	return &oracle{tb: tb, asker: newAsker(), driver: d, truth: truth, theirs: inOrder{prometheus(tb, truth), false},
		answers: map[question]answer{}, answered: map[string]bool{}}
}

// compare asks both.
func (o *oracle) compare(stage string, q question) {
	o.tb.Helper()
	o.asked++
	want, known := o.answers[q]
	if !known {
		want = o.asker.ask(o.tb, o.theirs, q)
		o.answers[q] = want
		o.answered[q.expr] = o.answered[q.expr] || !want.empty()
	}
	got := o.asker.ask(o.tb, inOrder{o.driver.store.Queryable(), o.asked%2 == 0}, q)
	if d := q.difference(got, want); d != "" && !o.possible(q, got) {
		o.tb.Errorf("%s: %s\n%s", stage, q, d)
		if o.failures++; o.failures == 20 {
			o.tb.Fatal("and so on")
		}
	}
}

// possible says that Prometheus gives the answer, too, when it is asked again. Its engine does some
// things in the order of a map: with what some functions give it adds in any order.
func (o *oracle) possible(q question, got answer) bool {
	for range 50 {
		if q.difference(got, o.asker.ask(o.tb, o.theirs, q)) == "" {
			return true
		}
	}
	return false
}

// samples compares all samples, as they are read without an engine.
func (o *oracle) samples(stage string) {
	o.tb.Helper()
	q, err := o.driver.store.Queryable().Querier(0, int64(now()+hour))
	if err != nil {
		o.tb.Fatal(err)
	}
	defer q.Close()
	set := q.Select(o.tb.Context(), true, nil, labels.MustNewMatcher(labels.MatchRegexp, labels.MetricName, ".+"))
	want := slices.DeleteFunc(slices.Clone(o.truth), func(s trueSeries) bool { return len(visible(s.samples)) == 0 })
	for set.Next() {
		got := samplesOf(o.tb, set.At())
		if len(got) == 0 {
			continue // the index does not know where there are samples
		}
		if len(want) == 0 || !labels.Equal(want[0].labels, set.At().Labels()) {
			o.tb.Fatalf("%s: series %v is not the one that was expected: %v", stage, set.At().Labels(), want[:min(1, len(want))])
		}
		for i, s := range visible(want[0].samples) {
			if i >= len(got) || got[i].at != s.at || math.Float64bits(got[i].v) != math.Float64bits(s.v) {
				o.tb.Fatalf("%s: %v: sample %d: want %v, got %v of %d", stage, want[0].labels, i, s, got[min(i, len(got)-1)], len(got))
			}
		}
		if n := len(visible(want[0].samples)); n != len(got) {
			o.tb.Fatalf("%s: %v: %d samples, want %d", stage, want[0].labels, len(got), n)
		}
		want = want[1:]
	}
	if err := set.Err(); err != nil || len(set.Warnings()) > 0 {
		o.tb.Fatalf("%s: %v, warnings %v", stage, err, set.Warnings())
	}
	if len(want) > 0 {
		o.tb.Errorf("%s: %d series are missing, the first is %v", stage, len(want), want[0].labels)
	}
}

func samplesOf(tb testing.TB, s storage.Series) (all []sample) {
	tb.Helper()
	it := s.Iterator(nil)
	for it.Next() == chunkenc.ValFloat {
		at, v := it.At()
		all = append(all, sample{at, v})
	}
	if it.Err() != nil {
		tb.Fatal(it.Err())
	}
	return visible(all)
}

// visible leaves out markers that no query sees: those that come when the sample before is
// older than the lookback.
func visible(all []sample) (seen []sample) {
	for i, s := range all {
		if model.IsAbsent(s.v) && (i == 0 || model.IsAbsent(all[i-1].v) || s.at-all[i-1].at >= lookback.Milliseconds()) {
			continue
		}
		seen = append(seen, s)
	}
	return seen
}

// TestOracle asks a store and Prometheus the same, of generated fleets.
func TestOracle(t *testing.T) {
	asked := expressions(t, "expressions.txt")
	if len(asked) < 220 {
		t.Errorf("%d expressions, want 220 or more", len(asked))
	}
	fleets, span := 2, 2*hour
	switch {
	case *more:
		fleets = 12
	case underRace:
		span = 75 * minute
	}
	for seed := range fleets {
		t.Run(fmt.Sprint("fleet", seed), func(t *testing.T) {
			t.Parallel()
			c := rand.New(rand.NewPCG(uint64(seed), 9))
			d := newDriver(t)
			f := fleet{hosts: 20, from: now() - span, to: now(), least: 20 * minute, changes: 60, passes: 120 * (seed % 2)}
			f.generate(d, c)
			o := newOracle(t, d)
			o.stages(func(stage string, n int) {
				for i, expr := range asked {
					if o.turn(n, i) {
						o.about(stage, expr, 3*seed+n+5*i)
					}
				}
			})
			o.expectAnswers(asked)
		})
	}
}

// stages looks at the store as it is, sealed, and in later lives.
func (o *oracle) stages(look func(stage string, number int)) {
	o.tb.Helper()
	for i, stage := range []struct {
		name  string
		reach func()
	}{
		{"as it came", func() {}},
		{"reopened", o.driver.reopen},
		{"sealed", o.driver.pass},
		{"sealed and reopened", o.driver.reopen},
	} {
		stage.reach()
		if i%2 == 0 || !underRace {
			o.samples(stage.name)
		}
		look(stage.name, i)
	}
	o.tb.Logf("%d questions asked", o.asked)
}

// turn says whether an expression is asked at a stage.
func (o *oracle) turn(stage, expr int) bool { return !underRace || *more || (stage+expr)%4 == 0 }

// about asks an expression at some times, others at every turn.
func (o *oracle) about(stage, expr string, turn int) {
	o.tb.Helper()
	end := now()
	instants := []model.Millis{
		end, end - hour, end - 35*minute, end - 77*minute + 123, end - 17*minute + 1, end - 2*hour + 10*minute,
		end - 3*minute, end + 4*minute, end - 45*second, end - 90*minute - 1,
	}
	ranges := []question{
		{from: end - hour, to: end, step: minute},
		{from: end - 2*hour - 10*minute, to: end + 10*minute, step: 5 * minute},
		{from: end - 20*minute, to: end - 12*minute, step: 15 * second},
		{from: end - 100*minute + 1234, to: end - 50*minute, step: 77 * second},
		{from: end - 3*hour, to: end, step: hour},
	}
	for k := range instants {
		if k == turn%len(instants) && turn%2 == 0 || *more {
			o.compare(stage, question{expr: expr, from: instants[k]})
		}
	}
	for k, q := range ranges {
		if k == turn/2%len(ranges) && turn%2 == 1 || *more {
			q.expr = expr
			o.compare(stage, q)
		}
	}
}

// expectAnswers demands that most expressions have found something.
func (o *oracle) expectAnswers(asked []string) {
	o.tb.Helper()
	var none []string
	for _, expr := range asked {
		if !o.answered[expr] {
			none = append(none, expr)
		}
	}
	if 10*len(none) > len(asked) {
		o.tb.Errorf("%d of %d expressions found nothing:\n%s", len(none), len(asked), strings.Join(none, "\n"))
	}
}
