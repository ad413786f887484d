package api

import (
	"context"
	"net/url"
	"strconv"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// PathFleetGaps is where the gaps of the fleet are.
const PathFleetGaps = "/api/fleet/gaps"

// MaxGaps is how many gaps one answer lists at most; DefaultGaps is how many it
// lists unless asked for another number.
const (
	MaxGaps     = 10_000
	DefaultGaps = 1000
)

// GapQuery says which gaps are wanted. What is zero does not narrow it.
type GapQuery struct {
	// Worker is an id or an instance.
	Worker string
	// From and To bound the time; gaps that touch it are wanted.
	From, To time.Time
	Causes   []event.Cause
	// Limit is how many at most, the newest; 0: DefaultGaps.
	Limit int
}

// Gaps is the answer of GET /api/fleet/gaps.
type Gaps struct {
	// Now is the collector's clock when it answered.
	Now model.Millis `json:"now_ms"`
	// Gaps are sorted by the time at which they begin.
	Gaps []Gap `json:"gaps"`
	// More says that older ones were left out because of the limit.
	More bool `json:"more"`
	// Totals sum up all that are wanted, also those left out, by cause. Gaps that are
	// open are not in them.
	Totals []GapTotal `json:"totals"`
}

// Gap is a stretch of time of which samples of a worker are missing.
type Gap struct {
	Worker   model.WorkerID `json:"worker"`
	Instance string         `json:"instance"` // empty if the fleet does not know the worker any more
	Cause    event.Cause    `json:"cause"`
	// Text explains it to people.
	Text string `json:"text"`
	// From and To are its ends in RFC 3339 with milliseconds, by the worker's
	// clock; FromMillis and ToMillis are the same.
	From       string       `json:"from"`
	To         string       `json:"to"`
	FromMillis model.Millis `json:"from_ms"`
	ToMillis   model.Millis `json:"to_ms"`
	// Open says that it goes on: To is now, by the collector's clock.
	Open bool `json:"open"`
	// Frames and Samples were made and are missing; both are 0 where nothing was
	// sampled.
	Frames  uint64 `json:"frames"`
	Samples uint64 `json:"samples"`
	// Boot is the process whose records are missing, FirstSeq and LastSeq are the
	// first and last of them; zero if that is not known.
	Boot     model.BootID `json:"boot,omitzero"`
	FirstSeq uint64       `json:"first_seq,omitempty"`
	LastSeq  uint64       `json:"last_seq,omitempty"`
	// Merged is how many older gaps this one stands for; 0: it is a single one.
	Merged uint64 `json:"merged,omitempty"`
}

// GapTotal is what is missing for one cause.
type GapTotal struct {
	Cause   event.Cause `json:"cause"`
	Gaps    uint64      `json:"gaps"`
	Frames  uint64      `json:"frames"`
	Samples uint64      `json:"samples"`
}

// SetTimes sets the ends of the gap, in both forms.
func (g *Gap) SetTimes(from, to model.Millis) {
	spell := func(at model.Millis) string {
		return time.UnixMilli(int64(at)).UTC().Format("2006-01-02T15:04:05.000Z07:00")
	}
	g.FromMillis, g.ToMillis = from, to
	g.From, g.To = spell(from), spell(to)
}

// Gaps lists what is missing; a *Error with Status 404 when no worker has that
// name.
func (c *Client) Gaps(ctx context.Context, q GapQuery) (Gaps, error) {
	form := url.Values{}
	if q.Worker != "" {
		form.Set("worker", q.Worker)
	}
	setTime(form, "from", q.From)
	setTime(form, "to", q.To)
	for _, cause := range q.Causes {
		form.Add("cause", string(cause))
	}
	if q.Limit > 0 {
		form.Set("limit", strconv.Itoa(q.Limit))
	}
	var gaps Gaps
	err := c.get(ctx, PathFleetGaps, form, &gaps)
	return gaps, err
}
