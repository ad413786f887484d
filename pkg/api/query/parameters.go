package query

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/cloudless-fleet/cloudless/pkg/api/reply"
)

// failure is an error that knows its kind. The text is Prometheus' own.
type failure struct {
	kind reply.Kind
	err  error
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func badData(err error) error { return &failure{reply.BadData, err} }

func badParameter(name string, err error) error {
	return badData(fmt.Errorf("invalid parameter %q: %w", name, err))
}

// parseForm reads address and body parameters into r.Form.
func parseForm(r *http.Request) error {
	err := r.ParseForm()
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		return &failure{reply.TooLarge, fmt.Errorf("body longer than %d bytes", tooLarge.Limit)}
	}
	if err != nil {
		return badData(fmt.Errorf("error parsing form values: %w", err))
	}
	return nil
}

// earliest and latest stand for an absent start and end. They are Prometheus'
// own: the widest times that still convert to nanoseconds and back.
func earliest() time.Time { return time.Unix(math.MinInt64/1000+62135596801, 0).UTC() }
func latest() time.Time   { return time.Unix(math.MaxInt64/1000-62135596801, 999999999).UTC() }

// parseTime reads Unix seconds, with a fraction down to milliseconds, or RFC 3339.
func parseTime(text string) (time.Time, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		whole, fraction := math.Modf(seconds)
		fraction = math.Round(fraction*1000) / 1000
		return time.Unix(int64(whole), int64(fraction*float64(time.Second))).UTC(), nil
	}
	if t, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return t, nil
	}
	// Clients spell the two ends of time with years of more than four digits,
	// which time.Parse cannot read.
	for _, end := range []time.Time{earliest(), latest()} {
		if text == end.Format(time.RFC3339Nano) {
			return end, nil
		}
	}
	return time.Time{}, fmt.Errorf("cannot parse %q to a valid timestamp", text)
}

// timeParameter reads an optional time.
func timeParameter(r *http.Request, name string, absent time.Time) (time.Time, error) {
	text := r.Form.Get(name)
	if text == "" {
		return absent, nil
	}
	t, err := parseTime(text)
	if err != nil {
		return time.Time{}, badParameter(name, fmt.Errorf("invalid time value for '%s': %w", name, err))
	}
	return t, nil
}

// parseDuration reads seconds with a fraction, or Prometheus' form, as in 1h30m.
func parseDuration(text string) (time.Duration, error) {
	if seconds, err := strconv.ParseFloat(text, 64); err == nil {
		nanos := seconds * float64(time.Second)
		if nanos >= math.MaxInt64 || nanos <= math.MinInt64 || math.IsNaN(nanos) {
			return 0, fmt.Errorf("cannot parse %q to a valid duration. It overflows int64", text)
		}
		return time.Duration(nanos), nil
	}
	if d, err := model.ParseDuration(text); err == nil {
		return time.Duration(d), nil
	}
	return 0, fmt.Errorf("cannot parse %q to a valid duration", text)
}

// durationParameter reads an optional duration; 0 when it is absent.
func durationParameter(r *http.Request, name string) (time.Duration, error) {
	text := r.Form.Get(name)
	if text == "" {
		return 0, nil
	}
	d, err := parseDuration(text)
	if err != nil {
		return 0, badParameter(name, err)
	}
	return d, nil
}

// limitParameter reads the optional limit; 0 is none.
func limitParameter(r *http.Request) (int, error) {
	text := r.Form.Get("limit")
	if text == "" {
		return 0, nil
	}
	limit, err := strconv.Atoi(text)
	if err == nil && limit < 0 {
		err = errors.New("limit must be non-negative")
	}
	if err != nil {
		return 0, badParameter("limit", err)
	}
	return limit, nil
}

// parseMatchers reads series selectors; each must exclude the empty value
// somewhere, or it would select everything.
func parseMatchers(parse parser.Parser, selectors []string) ([][]*labels.Matcher, error) {
	sets, err := parse.ParseMetricSelectors(selectors)
	if err != nil {
		return nil, err
	}
	for _, set := range sets {
		if !selective(set) {
			return nil, errors.New("match[] must contain at least one non-empty matcher")
		}
	}
	return sets, nil
}

func selective(set []*labels.Matcher) bool {
	for _, m := range set {
		if m != nil && !m.Matches("") {
			return true
		}
	}
	return false
}
