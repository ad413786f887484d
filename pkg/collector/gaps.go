package collector

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/fleet"
	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/ledger"
)

// gapBook is the ledger of what is missing.
type gapBook interface {
	Find(ledger.Query) (found []ledger.Entry, more bool)
	Totals(ledger.Query) []ledger.Total
}

// gapRows joins the ledger with the workers that are silent now, of which it
// cannot know yet why, for the fleet API.
type gapRows struct {
	book    gapBook
	workers fleet.Source
	now     func() time.Time
}

var (
	_ fleet.Gaps = gapRows{}
	_ gapBook    = (*ledger.Ledger)(nil)
)

// Gaps implements fleet.Gaps.
func (g gapRows) Gaps(ctx context.Context, q api.GapQuery) (api.Gaps, error) {
	workers, err := g.workers.Workers(ctx)
	if err != nil {
		return api.Gaps{}, err
	}
	wanted, err := workerNamed(workers, q.Worker)
	if err != nil {
		return api.Gaps{}, err
	}
	in := ledger.Query{Worker: wanted, From: millisOf(q.From), To: millisOf(q.To), Causes: q.Causes, Limit: q.Limit}
	answer := api.Gaps{Now: model.Millis(g.now().UnixMilli())}
	entries, more := g.book.Find(in)
	answer.More = more
	instances := make(map[model.WorkerID]string, len(workers))
	for _, row := range workers {
		instances[row.ID] = row.Instance
	}
	for _, e := range entries {
		answer.Gaps = append(answer.Gaps, gapRow(e, instances[e.Worker]))
	}
	for _, row := range workers {
		if gap, silent := silence(row, answer.Now); silent && (wanted.IsZero() || row.ID == wanted) && wants(q, gap) {
			answer.Gaps = append(answer.Gaps, gap)
		}
	}
	slices.SortStableFunc(answer.Gaps, func(a, b api.Gap) int { return int(min(1, max(-1, a.FromMillis-b.FromMillis))) })
	if over := len(answer.Gaps) - q.Limit; q.Limit > 0 && over > 0 {
		answer.Gaps, answer.More = answer.Gaps[over:], true
	}
	for _, t := range g.book.Totals(in) {
		answer.Totals = append(answer.Totals, api.GapTotal{Cause: t.Cause, Gaps: t.Entries, Frames: t.Frames, Samples: t.Samples})
	}
	return answer, nil
}

// workerNamed finds a worker by its id or instance. An id need not be one that the
// fleet knows: gaps are kept of those that are forgotten, too.
func workerNamed(workers []api.Worker, name string) (found model.WorkerID, err error) {
	if name == "" {
		return found, nil
	}
	if id, err := model.ParseWorkerID(name); err == nil {
		return id, nil
	}
	for _, row := range workers {
		if row.Instance != name {
			continue
		}
		if !found.IsZero() {
			return found, reply.Because(reply.ErrConflict, "several workers are called %s; say which by its id", name)
		}
		found = row.ID
	}
	if found.IsZero() {
		return found, reply.Because(reply.ErrNotFound, "no worker is called %s", model.Line(name, 64))
	}
	return found, nil
}

func gapRow(e ledger.Entry, instance string) api.Gap {
	row := api.Gap{Worker: e.Worker, Instance: instance, Cause: e.Gap.Cause, Text: e.Gap.Cause.Text(), Frames: e.Gap.Frames,
		Samples: e.Gap.Samples, Boot: e.Gap.Boot, FirstSeq: e.Gap.FirstSeq, LastSeq: e.Gap.LastSeq, Merged: e.Earlier}
	if e.Gap.Text != "" {
		row.Text = strings.TrimPrefix(row.Text+": "+e.Gap.Text, ": ")
	}
	row.SetTimes(e.Gap.From, e.Gap.To)
	return row
}

// silence returns the gap of a worker that should send frames and does not: its
// lease is half spent, or it is kept alive but no frame has come for that long.
// One that said goodbye is not silent.
func silence(row api.Worker, now model.Millis) (gap api.Gap, silent bool) {
	switch row.State {
	case model.Suspect, model.Expired:
	case model.Registered:
		age := row.LastFrameAge
		if age < 0 && row.LastFrame != 0 { // none has come since this process runs
			age = int64(now-row.LastFrame) + row.ClockOffset
		}
		if age <= row.KeepAlive {
			return gap, false
		}
	default:
		return gap, false
	}
	from := row.LastFrame
	if from == 0 { // we have none of its frames
		from = row.LastContact
	}
	if from == 0 {
		return gap, false
	}
	gap = api.Gap{Worker: row.ID, Instance: row.Instance, Cause: event.Unreachable, Text: event.Unreachable.Text(), Open: true}
	switch {
	case row.State == model.Registered && row.Connected:
		gap.Text += ": it is connected, and sends no frames"
	case row.State == model.Registered:
		gap.Text += ": it keeps its lease, but does not reach the collector"
	case row.State == model.Expired:
		gap.Text += ": its lease is spent"
	}
	gap.SetTimes(min(from, now), now)
	return gap, true
}

// wants is what the ledger does for its own entries.
func wants(q api.GapQuery, gap api.Gap) bool {
	return gap.ToMillis >= millisOf(q.From) && (q.To.IsZero() || gap.FromMillis <= millisOf(q.To)) &&
		(len(q.Causes) == 0 || slices.Contains(q.Causes, gap.Cause))
}

// millisOf is 0 for the zero time.
func millisOf(at time.Time) model.Millis {
	if at.IsZero() {
		return 0
	}
	return model.Millis(at.UnixMilli())
}
