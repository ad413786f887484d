package query

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/util/annotations"
	"github.com/prometheus/prometheus/util/stats"

	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/store/rollup"
)

// options are the parameters that both kinds of query take.
type options struct {
	limit   int
	timeout time.Duration
	asked   bool // timeout was given
	engine  promql.QueryOpts
	stats   string
}

func optionsOf(r *http.Request) (o options, err error) {
	if o.limit, err = limitParameter(r); err != nil {
		return o, err
	}
	if o.timeout, err = durationParameter(r, "timeout"); err != nil {
		return o, err
	}
	o.asked = r.Form.Get("timeout") != ""
	o.stats = r.Form.Get("stats")
	lookback, err := durationParameter(r, "lookback_delta")
	if err != nil {
		return o, badData(fmt.Errorf("error parsing lookback delta duration: %w", errors.Unwrap(errors.Unwrap(err))))
	}
	o.engine = promql.NewPrometheusQueryOpts(o.stats == "all", lookback)
	return o, nil
}

// instant serves /api/v1/query.
func (a *API) instant(w http.ResponseWriter, r *http.Request) {
	o, err := optionsOf(r)
	if err != nil {
		respondError(w, err)
		return
	}
	at, err := timeParameter(r, "time", a.deps.Now())
	if err != nil {
		respondError(w, err)
		return
	}
	a.evaluate(w, r, o, func(ctx context.Context, expr string) (promql.Query, error) {
		return a.engine.NewInstantQuery(ctx, a.deps.Queryable, o.engine, expr, at)
	})
}

// span serves /api/v1/query_range.
func (a *API) span(w http.ResponseWriter, r *http.Request) {
	o, err := optionsOf(r)
	if err != nil {
		respondError(w, err)
		return
	}
	start, end, step, err := a.spanOf(r)
	if err != nil {
		respondError(w, err)
		return
	}
	a.evaluate(w, r, o, func(ctx context.Context, expr string) (promql.Query, error) {
		return a.engine.NewRangeQuery(ctx, a.deps.Queryable, o.engine, expr, start, end, step)
	})
}

// spanOf reads start, end and step, all of them needed.
func (a *API) spanOf(r *http.Request) (start, end time.Time, step time.Duration, err error) {
	if start, err = parseTime(r.Form.Get("start")); err != nil {
		return start, end, 0, badParameter("start", err)
	}
	if end, err = parseTime(r.Form.Get("end")); err != nil {
		return start, end, 0, badParameter("end", err)
	}
	if end.Before(start) {
		return start, end, 0, badParameter("end", errors.New("end timestamp must not be before start time"))
	}
	if step, err = parseDuration(r.Form.Get("step")); err != nil {
		return start, end, 0, badParameter("step", err)
	}
	if step <= 0 {
		return start, end, 0, badParameter("step", errors.New("zero or negative query resolution step widths are not accepted. Try a positive integer"))
	}
	if step < time.Millisecond {
		// The engine counts in milliseconds; a step of none of them has no end.
		return start, end, 0, badParameter("step", errors.New("query resolution step widths below 1ms are not accepted"))
	}
	if end.Sub(start)/step > time.Duration(a.config.MaxPoints) {
		return start, end, 0, badData(fmt.Errorf("exceeded maximum resolution of %s points per timeseries. Try decreasing the query resolution (?step=XX)", thousands(a.config.MaxPoints)))
	}
	return start, end, step, nil
}

// thousands writes 11000 as 11,000, as the text has it that clients look for.
func thousands(n int) string {
	if n < 1000 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%s,%03d", thousands(n/1000), n%1000)
}

// evaluate runs the query that prepare makes and answers with its result.
func (a *API) evaluate(w http.ResponseWriter, r *http.Request, o options, prepare func(context.Context, string) (promql.Query, error)) {
	timeout := a.config.Timeout
	if o.asked {
		timeout = min(timeout, o.timeout)
	}
	ctx, cancel := context.WithTimeout(r.Context(), timeout)
	defer cancel()
	expr := r.Form.Get("query")
	query, err := prepare(ctx, expr)
	if err != nil && ctx.Err() != nil {
		// It waited for a place in vain. (Prometheus calls that bad data.)
		respondError(w, fmt.Errorf("waiting for other queries: %w", ctx.Err()))
		return
	}
	if err != nil {
		respondError(w, badParameter("query", err))
		return
	}
	defer query.Close() // after the answer: the result's memory is the query's
	if asked, ok := query.Statement().(*parser.EvalStmt); ok {
		// So that the store may answer from rollups where the answer stays the same.
		ctx = rollup.AskedBy(asked.Expr, asked.LookbackDelta).Context(ctx)
	}
	result := query.Exec(ctx)
	if result.Err != nil {
		respondError(w, result.Err)
		return
	}
	warnings := result.Warnings
	if o.limit > 0 && truncate(result, o.limit) {
		warnings = warnings.Add(errors.New(truncated))
	}
	warnings = warnStats(warnings, o.stats)
	var figures stats.QueryStats
	if o.stats != "" {
		figures = stats.NewQueryStats(query.Stats())
	}
	respond(w, expr, warnings, func(e *encoder) { e.result(result.Value, figures) })
}

const truncated = "results truncated due to limit"

func truncate(result *promql.Result, limit int) bool {
	switch v := result.Value.(type) {
	case promql.Matrix:
		if len(v) > limit {
			result.Value = v[:limit]
			return true
		}
	case promql.Vector:
		if len(v) > limit {
			result.Value = v[:limit]
			return true
		}
	}
	return false
}

// warnStats tells callers of unsupported values of stats what Prometheus tells them.
func warnStats(warnings annotations.Annotations, value string) annotations.Annotations {
	switch value {
	case "", "true", "all":
		return warnings
	}
	return warnings.Add(fmt.Errorf("value %q for parameter \"stats\" is deprecated and will be rejected in the next major release, use %q or %q", value, "true", "all"))
}

// kindOf sorts an error into Prometheus' kinds.
func kindOf(err error) reply.Kind {
	var known *failure
	var canceled promql.ErrQueryCanceled
	var timeout promql.ErrQueryTimeout
	var storage promql.ErrStorage
	switch {
	case errors.As(err, &known):
		return known.kind
	case errors.As(err, &canceled):
		return reply.Canceled
	case errors.As(err, &timeout):
		return reply.Timeout
	case errors.As(err, &storage):
		return reply.Internal
	case errors.Is(err, context.Canceled):
		return reply.Canceled
	case errors.Is(err, context.DeadlineExceeded):
		return reply.Timeout
	}
	return reply.Execution
}

func respondError(w http.ResponseWriter, err error) { reply.Error(w, kindOf(err), err.Error()) }
