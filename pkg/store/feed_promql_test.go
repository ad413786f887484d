package store

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/promqltest"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/prometheus/prometheus/util/teststorage"
)

// feedStorage is a store and a feed as the storage of a Prometheus.
type feedStorage struct {
	*Store
	*Feed
	config Config
	deps   Deps
	before func(*feedStorage) error // the first query after a commit; nil: nothing
	seen   uint64                   // commits then
}

// newFeedStorage makes one that takes samples from 1970 on.
func newFeedStorage(t testing.TB, before func(*feedStorage) error) *feedStorage {
	t.Helper()
	const years = 365 * 24 * time.Hour
	s := &feedStorage{config: testConfig(t.TempDir()), deps: testDeps(), before: before}
	s.config.Retention, s.config.MinuteRetention, s.config.HourRetention = 20*years, 0, 0
	s.deps.Now = func() time.Time { return time.Unix(0, 0).Add(10 * years) }
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *feedStorage) open() (err error) {
	if s.Store, err = Open(s.config, s.deps); err == nil {
		s.Feed, err = s.Store.Feed("test")
	}
	return err
}

// Querier implements storage.Queryable.
func (s *feedStorage) Querier(mint, maxt int64) (storage.Querier, error) {
	if commits := s.Feed.Stats().Commits; s.before != nil && commits != s.seen {
		if err := s.before(s); err != nil {
			return nil, err
		}
		s.seen = s.Feed.Stats().Commits
	}
	return s.Store.Queryable().Querier(mint, maxt)
}

// ChunkQuerier implements storage.ChunkQueryable.
func (s *feedStorage) ChunkQuerier(_, _ int64) (storage.ChunkQuerier, error) {
	return storage.NoopChunkedQuerier(), nil
}

// StartTime implements storage.Storage.
func (s *feedStorage) StartTime() (int64, error) { return 0, nil }

// Close implements storage.Storage.
func (s *feedStorage) Close() error { return s.Store.Close() }

// Where the samples are when a query comes.
var feedStates = map[string]func(*feedStorage) error{
	"open":   nil,
	"sealed": func(s *feedStorage) error { return s.Store.Pass() },
	"replayed": func(s *feedStorage) error {
		if err := s.Close(); err != nil {
			return err
		}
		return s.open()
	},
}

// script is one of Prometheus' own PromQL tests, without what cannot be stored.
type script struct {
	name  string
	lines []string
	from  []int // the line of the file that each is, 1 being the first
	left  []int // lines of the file that are left out
	whole bool  // all of it is
}

// scripts reads them out of the module that the go command has.
func scripts(t *testing.T) (all []*script) {
	t.Helper()
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Version}} {{.Dir}}", "github.com/prometheus/prometheus").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	version, dir, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if version != leftOutOf {
		t.Fatalf("Prometheus is %s, the list of what is left out is of %s: make it anew", version, leftOutOf)
	}
	files, err := filepath.Glob(filepath.Join(dir, "promql", "promqltest", "testdata", "*.test"))
	if err != nil || len(files) < 15 {
		t.Fatalf("%d scripts in %s: %v", len(files), dir, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, newScript(filepath.Base(file), string(text)))
	}
	return all
}

func newScript(name, text string) *script {
	s := &script{name: name}
	for _, l := range leftOut {
		if l.script == name {
			s.left, s.whole = l.lines, l.lines == nil
		}
	}
	loading := false
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
			loading = false
		case strings.HasPrefix(line, "load"):
			loading = true
			line = strings.Replace(line, "load_with_nhcb", "load", 1)
		case loading && (strings.Contains(line, "{{") || strings.Contains(line, "@st")):
			continue
		}
		s.lines, s.from = append(s.lines, line), append(s.from, i+1)
	}
	return s
}

// command says what a line of a script begins; "" for nothing.
func command(line string) string {
	for _, word := range []string{"clear", "load", "eval"} {
		if strings.HasPrefix(line, word) {
			return word
		}
	}
	return ""
}

// without is the script without the evaluations that are left out.
func (s *script) without(t *testing.T) string {
	var kept []string
	skipping, skipped := false, 0
	for i, line := range s.lines {
		if line == "" || command(line) != "" {
			skipping = command(line) == "eval" && slices.Contains(s.left, s.from[i])
		}
		if !skipping {
			kept = append(kept, line)
		} else if command(line) == "eval" {
			skipped++
		}
	}
	if skipped != len(s.left) {
		t.Errorf("%s: %d evaluations are left out, the list has %d", s.name, skipped, len(s.left))
	}
	return strings.Join(kept, "\n")
}

func TestPrometheusOwnScripts(t *testing.T) {
	for state, before := range feedStates {
		t.Run(state, func(t *testing.T) {
			for _, s := range scripts(t) {
				if s.whole {
					continue
				}
				t.Run(s.name, func(t *testing.T) {
					t.Parallel()
					engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
					promqltest.RunTestWithStorage(t, s.without(t), engine, func(t testing.TB) storage.Storage { return newFeedStorage(t, before) })
				})
			}
		})
	}
}

// What is left out does not come out as the script says. It comes out as with Prometheus' own
// storage, given the same.
func TestWhatIsLeftOutOfPrometheusOwnScripts(t *testing.T) {
	for _, s := range scripts(t) {
		if len(s.left) == 0 && !s.whole {
			continue
		}
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			engine := promqltest.NewTestEngine(t, false, 0, promqltest.DefaultMaxSamplesPerQuery)
			for _, section := range s.sections() {
				section.compare(t, engine)
			}
		})
	}
}

// section is what is loaded between clear and clear, and evaluations that are left out.
type section struct {
	load  []string
	evals []string
}

func (s *script) sections() (all []section) {
	now := section{}
	loading := false
	for i, line := range s.lines {
		switch command(line) {
		case "clear":
			all = append(all, now)
			now, loading = section{}, false
		case "load":
			loading = true
		case "eval":
			loading = false
			if s.whole || slices.Contains(s.left, s.from[i]) {
				now.evals = append(now.evals, line)
			}
		}
		if loading {
			now.load = append(now.load, line)
		}
		if line == "" {
			loading = false
		}
	}
	return append(all, now)
}

var (
	patInstant = regexp.MustCompile(`^eval\w*\s+instant\s+(?:at\s+(\S+)\s+)?(.+)$`)
	patRange   = regexp.MustCompile(`^eval\w*\s+range\s+from\s+(\S+)\s+to\s+(\S+)\s+step\s+(\S+)\s+(.+)$`)
)

// compare evaluates with both storages. Everything is loaded before.
func (c *section) compare(t *testing.T, engine *promql.Engine) {
	t.Helper()
	if len(c.evals) == 0 {
		return
	}
	ours, theirs := newFeedStorage(t, nil), teststorage.New(t, func(o *tsdb.Options) { o.OutOfOrderTimeWindow = 1 << 40 })
	defer ours.Close()
	for _, s := range []storage.Storage{ours, theirs} {
		promqltest.RunTestWithStorage(t, strings.Join(c.load, "\n"), engine, func(testing.TB) storage.Storage { return unclosed{s} })
	}
	for _, line := range c.evals {
		got, want := evaluate(t, engine, ours, line), evaluate(t, engine, theirs, line)
		if got != want {
			t.Errorf("%s\n got %s\nwant %s", line, got, want)
		}
	}
}

// unclosed is a storage that a script leaves open.
type unclosed struct{ storage.Storage }

// Close implements storage.Storage.
func (unclosed) Close() error { return nil }

// evaluate tells the result of a line of a script.
func evaluate(t *testing.T, engine *promql.Engine, s storage.Queryable, line string) string {
	t.Helper()
	at := func(text string) time.Time {
		if text == "" || text == "0" {
			return time.Unix(0, 0)
		}
		d, err := model.ParseDuration(strings.TrimPrefix(text, "-"))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if strings.HasPrefix(text, "-") {
			d = -d
		}
		return time.Unix(0, 0).Add(time.Duration(d))
	}
	var q promql.Query
	var err error
	if m := patRange.FindStringSubmatch(line); m != nil {
		q, err = engine.NewRangeQuery(context.Background(), s, nil, m[4], at(m[1]), at(m[2]), at(m[3]).Sub(time.Unix(0, 0)))
	} else if m := patInstant.FindStringSubmatch(line); m != nil {
		q, err = engine.NewInstantQuery(context.Background(), s, nil, m[2], at(m[1]))
	} else {
		t.Fatalf("%s: cannot be read", line)
	}
	if err != nil {
		return err.Error()
	}
	defer q.Close()
	r := q.Exec(context.Background())
	if m, is := r.Value.(promql.Vector); is {
		slices.SortFunc(m, func(a, b promql.Sample) int { return strings.Compare(a.String(), b.String()) })
	}
	return r.String()
}
