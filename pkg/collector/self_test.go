package collector

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"
	"github.com/prometheus/prometheus/tsdb/chunkenc"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// watch is a selfWatch whose clock a test sets.
func watch(t *testing.T, s *store.Store, o *office, log *words, now *time.Time) *selfWatch {
	t.Helper()
	w, err := newSelfWatch(s, trust.Identity{Fleet: "lab", Role: trust.RoleCollector, Name: "hq"}, "hq", selfWatch{
		metrics: func() model.Metrics { return model.Metrics{gauge("cloudless_own", 1)} }, coordinator: o.client(t), interval: time.Second,
		log: log.logger(), now: func() time.Time { return *now }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func gauge(name string, value float64) model.Metric {
	return model.Metric{Name: name, Help: "Help.", Type: model.Gauge, Value: value}
}

// newest is the newest sample of a series; ended: a staleness marker is it.
func newest(t *testing.T, s *store.Store, set ...string) (v float64, ended, known bool) {
	t.Helper()
	q, err := s.Queryable().Querier(0, time.Now().Add(time.Hour).UnixMilli())
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	var matchers []*labels.Matcher
	for i := 0; i < len(set); i += 2 {
		matchers = append(matchers, labels.MustNewMatcher(labels.MatchEqual, set[i], set[i+1]))
	}
	for all := q.Select(context.Background(), false, nil, matchers...); all.Next(); {
		for it := all.At().Iterator(nil); it.Next() == chunkenc.ValFloat; {
			_, v = it.At()
			known = true
		}
	}
	return v, known && value.IsStaleNaN(v), known
}

func TestBothServersAreInTheStore(t *testing.T) {
	o, s, now := newOffice(), openStore(t, storeIn(t)), time.Now()
	o.set(func() { o.metrics = []model.Metric{gauge("cloudless_theirs", 2)} })
	log := &words{}
	w := watch(t, s, o, log, &now)
	round := func() {
		now = now.Add(time.Second)
		w.round(t.Context())
	}
	f := func(wantEnded bool) {
		t.Helper()
		round()
		if v, ended, _ := newest(t, s, "__name__", "cloudless_own", "job", "collectord", "instance", "hq"); v != 1 || ended {
			t.Errorf("own figure: %v, ended %v; want 1", v, ended)
		}
		v, ended, known := newest(t, s, "__name__", "cloudless_theirs", "job", "coordinatord", "instance", "hq")
		if !known || ended != wantEnded || !ended && v != 2 {
			t.Errorf("coordinator's figure: %v, known %v, ended %v; want 2, or ended %v", v, known, ended, wantEnded)
		}
	}
	f(false)
	o.set(func() { o.trouble = away{} })
	f(true) // what does not answer does not look alive
	f(true)
	o.set(func() { o.trouble = nil })
	f(false)
	o.set(func() { o.metrics = append(o.metrics, model.Metric{Name: "cloudless_new", Type: 99}) }) // told by a newer release
	f(false)
	if got := log.count("level=WARN"); got != 0 {
		t.Errorf("%d warnings:\n%s", got, &log.text)
	}
}

// TestAFullDiskDoesNotKeepTheCollectorFromStarting: it answers queries.
func TestAFullDiskDoesNotKeepTheCollectorFromStarting(t *testing.T) {
	cfg := storeIn(t)
	cfg.MinFree = 1 << 60
	s, now := openStore(t, cfg), time.Now()
	log := &words{}
	w := watch(t, s, newOffice(), log, &now)
	w.round(t.Context())
	if got := log.count("own figures are not stored"); got != 1 {
		t.Errorf("%d lines, want one:\n%s", got, &log.text)
	}
}

func TestWithoutAStoreThereIsNothingToWatch(t *testing.T) {
	s := openStore(t, storeIn(t))
	_, err := newSelfWatch(s, trust.Identity{Fleet: "lab", Role: trust.RoleCollector, Name: "hq"}, "", selfWatch{})
	if err == nil {
		t.Error("a source without an instance was taken")
	}
}

// TestSourcesOfTheServersStayTheSame: their series go on after a restart.
func TestSourcesOfTheServersStayTheSame(t *testing.T) {
	collector := localSource(trust.Identity{Fleet: "lab", Role: trust.RoleCollector, Name: "hq"}, "hq")
	coordinator := localSource(trust.Identity{Fleet: "lab", Role: trust.RoleCoordinator, Name: "hq"}, "hq")
	if got, want := collector.Worker.String(), "e60f6f5d-09cc-454c-bf9e-7f4ae4f31d24"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if collector.Worker == coordinator.Worker || coordinator.Job != "coordinatord" {
		t.Errorf("got %+v and %+v", collector, coordinator)
	}
}
