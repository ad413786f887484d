package rollup

import (
	"context"
	"time"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Asked is what must be known of a query besides the hints of its selectors. Hints look alike
// whether a selector stands in a subquery or not, but its windows end at other times: those
// of a subquery at multiples of its step, less the selector's own offset.
type Asked struct {
	// Lookback is that of the query, which a request may choose.
	Lookback model.Millis
	// Outside and Inside say that a selector stands outside, or inside, of a subquery.
	Outside, Inside bool
	// Pinned says that a selector or a subquery has @.
	Pinned bool
	// Grain divides all offsets of selectors inside of subqueries; 0: there are none.
	Grain model.Millis
	// Extended says that the query looks beyond its windows: anchored, smoothed, info().
	Extended bool
}

// AskedBy looks through a parsed query.
func AskedBy(expr parser.Expr, lookback time.Duration) Asked {
	a := Asked{Lookback: model.Millis(lookback.Milliseconds())}
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		switch n := node.(type) {
		case *parser.VectorSelector:
			a.selector(n, path)
		case *parser.SubqueryExpr:
			a.Pinned = a.Pinned || n.Timestamp != nil || n.StartOrEnd != 0
		case *parser.Call:
			a.Extended = a.Extended || n.Func.Name == "info"
		}
		return nil
	})
	return a
}

func (a *Asked) selector(s *parser.VectorSelector, path []parser.Node) {
	a.Extended = a.Extended || s.Anchored || s.Smoothed
	a.Pinned = a.Pinned || s.Timestamp != nil || s.StartOrEnd != 0
	// An offset that is an expression is known only when it was evaluated.
	a.Extended = a.Extended || s.OriginalOffsetExpr != nil
	for _, node := range path {
		if _, inside := node.(*parser.SubqueryExpr); inside {
			a.Inside = true
			a.Grain = gcd(a.Grain, model.Millis(s.OriginalOffset.Milliseconds()))
			return
		}
	}
	a.Outside = true
}

func gcd(a, b model.Millis) model.Millis {
	for b != 0 {
		a, b = b, a%b
	}
	return max(a, -a)
}

// askedKey is the key of an Asked in a context.
type askedKey struct{}

// Context hands a on to the queriers of the query, which Exec is called with.
func (a Asked) Context(ctx context.Context) context.Context {
	return context.WithValue(ctx, askedKey{}, a)
}

// AskedIn is what Context has put into a context. Without it nothing but raw samples is
// safe.
func AskedIn(ctx context.Context) (a Asked, ok bool) {
	a, ok = ctx.Value(askedKey{}).(Asked)
	return a, ok
}
