package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Client speaks with collectord: queries and the fleet. Safe for concurrent use.
type Client struct{ caller }

// NewClient returns a client of the collectord at base, as in
// "https://collector:9090". client carries certificates and timeouts.
func NewClient(base string, client *http.Client) (*Client, error) {
	c, err := newCaller(base, client)
	return &Client{c}, err
}

// Range is the stretch of a range query; Step is more than zero.
type Range struct {
	Start, End time.Time
	Step       time.Duration
}

// Selection narrows labels, label values and series. The zero value is everything.
type Selection struct {
	Match      []string // series selectors; a series needs to match one
	Start, End time.Time
	Limit      int // most entries wanted; 0 is all
}

// Workers lists the fleet.
func (c *Client) Workers(ctx context.Context) (Fleet, error) {
	var fleet Fleet
	err := c.get(ctx, PathFleetWorkers, nil, &fleet)
	return fleet, err
}

// Worker gives one worker; a *Error with Status 404 when it is unknown.
func (c *Client) Worker(ctx context.Context, id model.WorkerID) (Worker, error) {
	var worker Worker
	err := c.get(ctx, PathFleetWorkers+"/"+id.String(), nil, &worker)
	return worker, err
}

// Query evaluates expr at one time; the zero time is the server's now.
func (c *Client) Query(ctx context.Context, expr string, at time.Time) (Result, error) {
	form := url.Values{"query": {expr}}
	setTime(form, "time", at)
	return c.result(ctx, PathQuery, form)
}

// QueryRange evaluates expr at every step of r.
func (c *Client) QueryRange(ctx context.Context, expr string, r Range) (Result, error) {
	form := url.Values{"query": {expr}, "step": {strconv.FormatFloat(r.Step.Seconds(), 'f', -1, 64)}}
	setTime(form, "start", r.Start)
	setTime(form, "end", r.End)
	return c.result(ctx, PathQueryRange, form)
}

// Labels lists label names.
func (c *Client) Labels(ctx context.Context, s Selection) (names []string, err error) {
	err = c.data(ctx, PathLabels, s.form(), &names)
	return names, err
}

// LabelValues lists the values of one label.
func (c *Client) LabelValues(ctx context.Context, name string, s Selection) (values []string, err error) {
	path := strings.ReplaceAll(PathLabelValues, "{name}", url.PathEscape(name))
	var e envelope
	if err := c.get(ctx, path, s.form(), &e); err != nil {
		return nil, err
	}
	err = json.Unmarshal(e.Data, &values)
	return values, err
}

// Series lists the label sets of series; s.Match must not be empty.
func (c *Client) Series(ctx context.Context, s Selection) (series []map[string]string, err error) {
	err = c.data(ctx, PathSeries, s.form(), &series)
	return series, err
}

// Metadata describes one metric, or all when metric is empty.
func (c *Client) Metadata(ctx context.Context, metric string) (map[string][]FamilyMetadata, error) {
	query := url.Values{}
	if metric != "" {
		query.Set("metric", metric)
	}
	var e envelope
	if err := c.get(ctx, PathMetadata, query, &e); err != nil {
		return nil, err
	}
	families := map[string][]FamilyMetadata{}
	err := json.Unmarshal(e.Data, &families)
	return families, err
}

// BuildInfo tells versions.
func (c *Client) BuildInfo(ctx context.Context) (info BuildInfo, err error) {
	var e envelope
	if err := c.get(ctx, PathBuildInfo, nil, &e); err != nil {
		return BuildInfo{}, err
	}
	err = json.Unmarshal(e.Data, &info)
	return info, err
}

// Ready returns nil when collectord answers queries.
func (c *Client) Ready(ctx context.Context) error { return c.get(ctx, PathReady, nil, nil) }

func (c *Client) data(ctx context.Context, path string, form url.Values, out any) error {
	var e envelope
	if err := c.form(ctx, path, form, &e); err != nil {
		return err
	}
	return json.Unmarshal(e.Data, out)
}

func (c *Client) result(ctx context.Context, path string, form url.Values) (Result, error) {
	var e envelope
	if err := c.form(ctx, path, form, &e); err != nil {
		return Result{}, err
	}
	var data struct {
		ResultType string          `json:"resultType"`
		Result     json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return Result{}, fmt.Errorf("query result: %w", err)
	}
	result := Result{Type: data.ResultType, Warnings: e.Warnings, Infos: e.Infos}
	var into any
	switch data.ResultType {
	case Vector:
		into = &result.Vector
	case Matrix:
		into = &result.Matrix
	case Scalar:
		into = &result.Scalar
	case String:
		into = &result.String
	default:
		return Result{}, fmt.Errorf("query result of unknown type %q", data.ResultType)
	}
	if err := json.Unmarshal(data.Result, into); err != nil {
		return Result{}, fmt.Errorf("query result of type %s: %w", data.ResultType, err)
	}
	return result, nil
}

func (s Selection) form() url.Values {
	form := url.Values{}
	if len(s.Match) > 0 {
		form["match[]"] = s.Match
	}
	setTime(form, "start", s.Start)
	setTime(form, "end", s.End)
	if s.Limit > 0 {
		form.Set("limit", strconv.Itoa(s.Limit))
	}
	return form
}

func setTime(form url.Values, name string, at time.Time) {
	if !at.IsZero() {
		form.Set(name, formatSeconds(model.Millis(at.UnixMilli())))
	}
}
