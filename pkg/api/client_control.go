package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// ControlClient speaks with coordinatord. Safe for concurrent use.
type ControlClient struct{ caller }

// NewControlClient returns a client of the coordinatord at base, as in
// "https://coordinator:10100". client carries the certificates; its Timeout
// must be longer than the waits asked for.
func NewControlClient(base string, client *http.Client) (*ControlClient, error) {
	c, err := newCaller(base, client)
	return &ControlClient{c}, err
}

// Workers returns what changed after version since (0: everything). It is held
// open for up to wait, at most MaxWait, until something has; then it returns
// with the same version and no workers.
func (c *ControlClient) Workers(ctx context.Context, since uint64, wait time.Duration) (WorkerChanges, error) {
	query := url.Values{"since": {strconv.FormatUint(since, 10)}}
	if wait > 0 {
		query.Set("wait", wait.String())
	}
	var changes WorkerChanges
	err := c.get(ctx, PathControlWorkers, query, &changes)
	return changes, err
}

// Contacts renews the leases of workers that were heard from, by a clock that
// shows now. Long lists go in several requests; the result is their sum up to
// the first error.
func (c *ControlClient) Contacts(ctx context.Context, now model.Millis, contacts []Contact) (ContactsResult, error) {
	var sum ContactsResult
	for len(contacts) > 0 {
		n := min(len(contacts), MaxContacts)
		var result ContactsResult
		if err := c.postJSON(ctx, PathControlContacts, Contacts{Now: now, Contacts: contacts[:n]}, &result); err != nil {
			return sum, err
		}
		sum.Renewed += result.Renewed
		sum.Unknown = append(sum.Unknown, result.Unknown...)
		contacts = contacts[n:]
	}
	return sum, nil
}

// Stats returns the coordinator's own metrics.
func (c *ControlClient) Stats(ctx context.Context) (Stats, error) {
	var stats Stats
	err := c.get(ctx, PathControlStats, nil, &stats)
	return stats, err
}

// Revocations returns the revocation list as revocation.List.Snapshot gives it,
// when its revision is another than since; nil when it stayed that for wait, at
// most MaxWait.
func (c *ControlClient) Revocations(ctx context.Context, since uint64, wait time.Duration) (snapshot []byte, err error) {
	query := url.Values{"since": {strconv.FormatUint(since, 10)}}
	if wait > 0 {
		query.Set("wait", wait.String())
	}
	err = c.get(ctx, PathControlRevocations, query, &snapshot)
	return snapshot, err
}

// Hello says who and where this collector is.
func (c *ControlClient) Hello(ctx context.Context, hello CollectorHello) (CollectorWelcome, error) {
	var welcome CollectorWelcome
	err := c.postJSON(ctx, PathControlCollector, hello, &welcome)
	return welcome, err
}
