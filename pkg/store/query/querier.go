package query

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/schemas"
)

// New makes a queryable of what data has of the series in d.
func New(d *schemas.Dictionary, data Data, options Options) storage.Queryable {
	options.Parallel = max(options.Parallel, 1)
	return &queryable{dictionary: d, data: data, options: options, batch: batchValues}
}

type queryable struct {
	dictionary *schemas.Dictionary
	data       Data
	options    Options
	batch      int
	pools      pools
}

// Querier implements storage.Queryable.
func (q *queryable) Querier(mint, maxt int64) (storage.Querier, error) {
	return &querier{queryable: q, mint: model.Millis(mint), maxt: model.Millis(maxt)}, nil
}

// querier is one query: the engine makes one for all its selectors. Its methods
// are for one goroutine.
type querier struct {
	*queryable
	mint, maxt model.Millis
	view       View // nil while nothing was read
	memories   []*memory
	usage      usage
	closed     atomic.Bool
}

// usage is what a query has decoded so far.
type usage struct {
	kept    atomic.Int64 // bytes
	samples atomic.Int64
}

// bare is the view of a Data that has none.
type bare struct{ Data }

func (bare) Release() {}

func (q *querier) source() View {
	if q.view == nil {
		if views, ok := q.data.(Views); ok {
			q.view = views.View(q.mint, q.maxt)
		} else {
			q.view = bare{q.data}
		}
	}
	return q.view
}

// Select implements storage.Querier.
func (q *querier) Select(ctx context.Context, sorted bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	if q.closed.Load() {
		return storage.ErrSeriesSet(errClosed)
	}
	mint, maxt := q.mint, q.maxt
	if hints != nil {
		mint, maxt = max(mint, model.Millis(hints.Start)), min(maxt, model.Millis(hints.End))
	}
	if mint > maxt {
		return storage.EmptySeriesSet()
	}
	return &seriesSet{
		ctx: ctx, querier: q, sorted: sorted, hints: hints, matchers: matchers, at: -1,
		window: window{mint: mint, maxt: maxt, lookback: model.Millis(q.options.Lookback.Milliseconds())},
	}
}

// LabelValues implements storage.LabelQuerier.
func (q *querier) LabelValues(ctx context.Context, name string, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	values, err := q.dictionary.LabelValues(ctx, q.mint, q.maxt, name, matchers...)
	return limited(values, hints), nil, err
}

// LabelNames implements storage.LabelQuerier.
func (q *querier) LabelNames(ctx context.Context, hints *storage.LabelHints, matchers ...*labels.Matcher) ([]string, annotations.Annotations, error) {
	names, err := q.dictionary.LabelNames(ctx, q.mint, q.maxt, matchers...)
	return limited(names, hints), nil, err
}

func limited(texts []string, hints *storage.LabelHints) []string {
	if hints != nil && hints.Limit > 0 && hints.Limit < len(texts) {
		return texts[:hints.Limit]
	}
	return texts
}

// Close implements storage.LabelQuerier. Samples of the query are gone with it.
func (q *querier) Close() error {
	if q.closed.Swap(true) {
		return nil
	}
	if q.view != nil {
		q.view.Release()
	}
	for _, m := range q.memories {
		m.release()
	}
	return nil
}

var errClosed = fmt.Errorf("query: the querier is closed")
