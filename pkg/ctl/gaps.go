package ctl

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func (c *command) gaps(ctx context.Context, args []string) error {
	set := c.flags("gaps")
	r, form := reaching(set, model.DaemonCollector), outputFlag(set)
	since := set.String("since", "24h", "show gaps that reach into the time since this `time`: RFC 3339, Unix seconds, or how long ago")
	var causes causeList
	set.Var(&causes, "cause", "show gaps of these `causes` only, separated by commas: host_off, agent_stopped, spool_full ...")
	limit := set.Int("limit", api.DefaultGaps, "show at most this `number` of gaps, the newest")
	rest, err := c.parse(set, args)
	switch {
	case err != nil:
		return err
	case len(rest) > 1:
		return usagef("unexpected argument %q", rest[1])
	case *limit < 1 || *limit > api.MaxGaps:
		return usagef("--limit %d: want 1 to %d", *limit, api.MaxGaps)
	}
	query := api.GapQuery{Causes: causes, Limit: *limit}
	if len(rest) == 1 {
		query.Worker = rest[0]
	}
	if query.From, err = parseSince(*since, time.Now()); err != nil {
		return err
	}
	client, w, err := r.queries()
	if err != nil {
		return err
	}
	found, err := client.Gaps(ctx, query)
	if err != nil {
		return w.explain(err)
	}
	r.done()
	if len(found.Gaps) == 0 && form.forPeople() {
		fmt.Fprintln(c.Err, noGaps(query, *since))
		return nil
	}
	if err := form.print(c.Out, found, func(w io.Writer) { gapTable(w, found) }); err != nil {
		return err
	}
	if form.forPeople() {
		fmt.Fprintln(c.Err, gapSummary(found))
	}
	return nil
}

// causeList is the value of --cause, which may be given several times.
type causeList []event.Cause

func (l *causeList) String() string { return "" }

func (l *causeList) Set(text string) error {
	for name := range strings.SplitSeq(text, ",") {
		cause := event.Cause(strings.TrimSpace(name))
		if !cause.Valid() {
			return fmt.Errorf("want causes like host_off, separated by commas")
		}
		*l = append(*l, cause)
	}
	return nil
}

// noGaps says what was looked for and not found.
func noGaps(q api.GapQuery, since string) string {
	text := "No gaps"
	if q.Worker != "" {
		text += " of " + plain(q.Worker)
	}
	if _, err := time.ParseDuration(since); err == nil {
		text += " in the last " + since
	} else if !q.From.IsZero() {
		text += " since " + since
	}
	if len(q.Causes) > 0 {
		names := make([]string, len(q.Causes))
		for i, cause := range q.Causes {
			names[i] = string(cause)
		}
		return text + " with the cause " + strings.Join(names, " or ") + "."
	}
	return text + ": nothing is missing."
}

func gapTable(w io.Writer, found api.Gaps) {
	fmt.Fprintln(w, "WORKER\tFROM\tTO\tLASTED\tCAUSE\tFRAMES\tSAMPLES\tDETAILS")
	for _, gap := range found.Gaps {
		to := gapTime(gap.ToMillis)
		if gap.Open {
			to = "now"
		}
		name, detail := plain(gap.Instance), plain(gap.Text)
		if name == "" {
			name = gap.Worker.String() // the fleet has forgotten it
		}
		if gap.Merged > 0 {
			detail = fmt.Sprintf("%d earlier gaps", gap.Merged)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", name, gapTime(gap.FromMillis), to, age(millis(int64(gap.ToMillis-gap.FromMillis))),
			plain(string(gap.Cause)), countOrDash(gap.Frames), countOrDash(gap.Samples), orDash(detail))
	}
}

// gapSummary says how much is missing altogether.
func gapSummary(found api.Gaps) string {
	open := 0
	for _, gap := range found.Gaps {
		if gap.Open {
			open++
		}
	}
	parts := []string{}
	if found.More {
		parts = append(parts, fmt.Sprintf("Older ones are not shown: --limit shows up to %d.", api.MaxGaps))
	}
	var frames, samples uint64
	for _, total := range found.Totals {
		frames += total.Frames
		samples += total.Samples
	}
	if frames > 0 {
		parts = append(parts, fmt.Sprintf("%d frames with %d samples were made and are missing.", frames, samples))
	}
	switch {
	case open == 1:
		parts = append(parts, "One gap is still open.")
	case open > 1:
		parts = append(parts, fmt.Sprintf("%d gaps are still open.", open))
	}
	if len(parts) == 0 {
		parts = append(parts, "Nothing that was sampled is missing.")
	}
	return strings.Join(parts, " ")
}

func gapTime(at model.Millis) string {
	return time.UnixMilli(int64(at)).Local().Format("2006-01-02T15:04:05Z07:00")
}

func countOrDash(n uint64) string {
	if n == 0 {
		return "-"
	}
	return fmt.Sprint(n)
}
