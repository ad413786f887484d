package query

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"

	promodel "github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/timestamp"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// selection is what labels, label values and series have in common.
type selection struct {
	limit    int // as asked; 0 is none
	most     int // entries to return at most
	sets     [][]*labels.Matcher
	from, to int64 // milliseconds
}

func (a *API) selectionOf(r *http.Request, matchError func(error) error) (s selection, err error) {
	if s.limit, err = limitParameter(r); err != nil {
		return s, err
	}
	s.most = a.config.MaxSeries
	if s.limit > 0 {
		s.most = min(s.most, s.limit)
	}
	start, err := timeParameter(r, "start", earliest())
	if err != nil {
		return s, err
	}
	end, err := timeParameter(r, "end", latest())
	if err != nil {
		return s, err
	}
	s.from, s.to = timestamp.FromTime(start), timestamp.FromTime(end)
	if s.sets, err = parseMatchers(a.parse, r.Form["match[]"]); err != nil {
		return s, matchError(err)
	}
	return s, nil
}

// hint asks for one entry more than is returned, to know whether there are more.
func (s selection) hint() int {
	if s.most == math.MaxInt {
		return s.most
	}
	return s.most + 1
}

// look runs visit with a querier over the selection, when there is a place and
// within the query timeout.
func (a *API) look(r *http.Request, s selection, visit func(context.Context, storage.Querier) error) error {
	ctx, cancel := context.WithTimeout(r.Context(), a.config.Timeout)
	defer cancel()
	place, err := a.gate.Insert(ctx, r.URL.Path)
	if err != nil {
		return err
	}
	defer a.gate.Delete(place)
	q, err := a.deps.Queryable.Querier(s.from, s.to)
	if err != nil {
		return err
	}
	defer q.Close()
	return visit(ctx, q)
}

// lookStrings gathers names or values over all matcher sets, sorted and cut.
func (a *API) lookStrings(w http.ResponseWriter, r *http.Request,
	ask func(context.Context, storage.Querier, *storage.LabelHints, []*labels.Matcher) ([]string, annotations.Annotations, error)) {
	s, err := a.selectionOf(r, badData)
	if err != nil {
		respondError(w, err)
		return
	}
	found, warnings := []string{}, annotations.Annotations{}
	err = a.look(r, s, func(ctx context.Context, q storage.Querier) error {
		sets := s.sets
		if len(sets) == 0 {
			sets = [][]*labels.Matcher{nil}
		}
		for _, set := range sets {
			some, remarks, err := ask(ctx, q, &storage.LabelHints{Limit: s.hint()}, set)
			if err != nil {
				return err
			}
			warnings.Merge(remarks)
			found = append(found, some...)
		}
		return nil
	})
	if err != nil {
		respondError(w, err)
		return
	}
	slices.Sort(found)
	found = slices.Compact(found)
	if len(found) > s.most {
		found = found[:s.most]
		warnings.Add(errors.New(truncated))
	}
	respond(w, "", warnings, func(e *encoder) { e.strings(found) })
}

// labelNames serves /api/v1/labels.
func (a *API) labelNames(w http.ResponseWriter, r *http.Request) {
	a.lookStrings(w, r, func(ctx context.Context, q storage.Querier, h *storage.LabelHints, set []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return q.LabelNames(ctx, h, set...)
	})
}

// labelValues serves /api/v1/label/{name}/values.
func (a *API) labelValues(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if strings.HasPrefix(name, "U__") { // the escaped spelling of names with any character
		name = promodel.UnescapeName(name, promodel.ValueEncodingEscaping)
	}
	if !promodel.UTF8Validation.IsValidLabelName(name) {
		respondError(w, badData(fmt.Errorf("invalid label name: %q", name)))
		return
	}
	a.lookStrings(w, r, func(ctx context.Context, q storage.Querier, h *storage.LabelHints, set []*labels.Matcher) ([]string, annotations.Annotations, error) {
		return q.LabelValues(ctx, name, h, set...)
	})
}

// series serves /api/v1/series.
func (a *API) series(w http.ResponseWriter, r *http.Request) {
	if len(r.Form["match[]"]) == 0 {
		respondError(w, badData(errors.New("no match[] parameter provided")))
		return
	}
	s, err := a.selectionOf(r, func(err error) error { return badParameter("match[]", err) })
	if err != nil {
		respondError(w, err)
		return
	}
	var found []labels.Labels
	var warnings annotations.Annotations
	err = a.look(r, s, func(ctx context.Context, q storage.Querier) error {
		set := s.seriesSet(ctx, q)
		for len(found) <= s.most && set.Next() {
			found = append(found, set.At().Labels())
			if len(found)%checkEvery == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
		}
		warnings = set.Warnings()
		return set.Err()
	})
	if err != nil {
		respondError(w, err)
		return
	}
	if len(found) > s.most {
		found = found[:s.most]
		warnings.Add(errors.New(truncated))
	}
	respond(w, "", warnings, func(e *encoder) { e.series(found) })
}

// checkEvery is how many series go by between looks at the clock.
const checkEvery = 128

func (s selection) seriesSet(ctx context.Context, q storage.Querier) storage.SeriesSet {
	// The name "series" is no function: it tells the storage that no samples are read.
	hints := &storage.SelectHints{Start: s.from, End: s.to, Func: "series", Limit: s.hint()}
	if len(s.sets) == 1 {
		return q.Select(ctx, false, hints, s.sets[0]...)
	}
	sets := make([]storage.SeriesSet, len(s.sets))
	for i, matchers := range s.sets {
		sets[i] = q.Select(ctx, true, hints, matchers...) // sorted, so that they merge
	}
	return storage.NewMergeSeriesSet(sets, 0, storage.ChainedSeriesMerge)
}

// metadata serves /api/v1/metadata.
func (a *API) metadata(w http.ResponseWriter, r *http.Request) {
	limit, err := countParameter(r, "limit")
	if err != nil {
		respondError(w, err)
		return
	}
	perMetric, err := countParameter(r, "limit_per_metric")
	if err != nil {
		respondError(w, err)
		return
	}
	families := a.deps.Metadata(r.Form.Get("metric"))
	respond(w, "", nil, func(e *encoder) { e.families(families, limit, perMetric) })
}

// countParameter reads an optional number; -1 when it is absent.
func countParameter(r *http.Request, name string) (int, error) {
	text := r.Form.Get(name)
	if text == "" {
		return -1, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, badData(errors.New(name + " must be a number"))
	}
	return n, nil
}

// sameName returns how many families at the start of the list share a name.
func sameName(families []model.Family) int {
	n := 1
	for n < len(families) && families[n].Name == families[0].Name {
		n++
	}
	return n
}
