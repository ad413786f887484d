package ctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func (c *command) audit(ctx context.Context, args []string) error {
	set := c.flags("audit")
	r, form := reaching(set, model.DaemonCoordinator, model.DaemonCollector), outputFlag(set)
	since := set.String("since", "", "show what was done since this `time`: RFC 3339, Unix seconds, or how long ago, as in 24h")
	limit := set.Int("limit", 100, "show at most this `number` of entries, the newest")
	if err := c.parseAll(set, args); err != nil {
		return err
	}
	if *limit < 1 || *limit > api.MaxAuditEntries {
		return usagef("--limit %d: want 1 to %d", *limit, api.MaxAuditEntries)
	}
	from, err := parseSince(*since, time.Now())
	if err != nil {
		return err
	}
	entries, err := r.auditLogs(ctx, from, *limit)
	if len(entries) > *limit {
		entries = entries[len(entries)-*limit:]
	}
	if err != nil && len(entries) == 0 {
		return err
	}
	r.done()
	if len(entries) == 0 && form.forPeople() {
		fmt.Fprintln(c.Err, "No entries.")
	} else if bad := form.print(c.Out, api.AuditLog{Entries: entries}, func(w io.Writer) { auditTable(w, entries) }); bad != nil {
		return bad
	}
	return err // one of the two logs is missing: say so, and fail
}

// auditLogs reads the logs of both daemons and merges them by time. It returns
// what it has got along with an error.
func (r *reach) auditLogs(ctx context.Context, since time.Time, limit int) ([]audit.Entry, error) {
	entries := []audit.Entry{}
	var errs []error
	failed := func(daemon string, err error) { errs = append(errs, fmt.Errorf("audit log of %s: %w", daemon, err)) }
	if client, w, err := r.administration(); err != nil {
		failed(model.DaemonCoordinator, err)
	} else if log, err := client.Audit(ctx, since, limit); err != nil {
		failed(model.DaemonCoordinator, w.explain(err))
	} else {
		entries = append(entries, log.Entries...)
	}
	if client, w, err := r.queries(); err != nil {
		failed(model.DaemonCollector, err)
	} else if log, err := client.WebAudit(ctx, since, limit); err != nil {
		failed(model.DaemonCollector, w.explain(err))
	} else {
		entries = append(entries, log.Entries...)
	}
	slices.SortStableFunc(entries, func(a, b audit.Entry) int { return a.At.Compare(b.At) })
	if len(errs) == 2 && isUsage(errs[0]) {
		return nil, errors.Unwrap(errs[0])
	}
	return entries, errors.Join(errs...)
}

func isUsage(err error) bool {
	_, is := errors.AsType[usageError](err)
	return is
}

// parseSince reads a time, or how long ago it was.
func parseSince(text string, now time.Time) (time.Time, error) {
	if ago, err := time.ParseDuration(text); err == nil && ago > 0 && text != "0" {
		return now.Add(-ago), nil
	}
	at, err := parseTime("--since", text)
	if err != nil {
		return time.Time{}, usagef("--since %q: want how long ago (24h), RFC 3339 (2026-01-31T12:00:00Z) or Unix seconds", text)
	}
	return at, nil
}

func auditTable(w io.Writer, entries []audit.Entry) {
	fmt.Fprintln(w, "TIME\tDAEMON\tWHO\tWHAT\tON\tFROM\tRESULT\tDETAILS")
	for _, e := range entries {
		result := "done"
		if !e.OK {
			result = "refused"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.At.Local().Format(time.RFC3339), e.Daemon, orDash(plain(e.Who)), plain(e.What),
			orDash(plain(e.On)), orDash(plain(e.From)), result, orDash(details(e)))
	}
}

func details(e audit.Entry) string {
	var parts []string
	if e.Detail != "" {
		parts = append(parts, plain(e.Detail))
	}
	for _, key := range slices.Sorted(maps.Keys(e.More)) {
		parts = append(parts, plain(key)+"="+plain(e.More[key]))
	}
	return strings.Join(parts, ", ")
}
