package ctl

import (
	"context"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func (c *command) query(ctx context.Context, args []string) error {
	set := c.flags("query")
	r, form := reaching(set, model.DaemonCollector), outputFlag(set)
	at := set.String("time", "", "evaluate at this `time` (RFC 3339 or Unix seconds) instead of now")
	rest, err := c.parse(set, args)
	if err != nil {
		return err
	}
	switch {
	case len(rest) == 0:
		return usagef("want an expression, like 'node_load1'")
	case len(rest) > 1:
		return usagef("unexpected argument %q; put the whole expression in single quotes", rest[1])
	}
	when, err := parseTime("--time", *at)
	if err != nil {
		return err
	}
	client, w, err := r.queries()
	if err != nil {
		return err
	}
	result, err := client.Query(ctx, rest[0], when)
	if err != nil {
		return w.explain(err)
	}
	r.done()
	for _, remark := range slices.Concat(result.Warnings, result.Infos) {
		fmt.Fprintln(c.Err, remark)
	}
	if isEmpty(result) && form.forPeople() {
		fmt.Fprintln(c.Err, "No series match.")
	}
	return form.print(c.Out, jsonResult(result), func(w io.Writer) { resultTable(w, result) })
}

func parseTime(option, text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	const furthest = 1e11 // seconds; anything beyond was meant as milliseconds
	if err != nil || !(math.Abs(seconds) < furthest) {
		return time.Time{}, usagef("%s %q: want RFC 3339 (2026-01-31T12:00:00Z) or Unix seconds", option, text)
	}
	return time.UnixMilli(int64(seconds * 1000)), nil
}

// jsonResult gives a result the shape that the Prometheus API gives it.
func jsonResult(result api.Result) any {
	var value any
	switch result.Type {
	case api.Vector:
		value = result.Vector
	case api.Matrix:
		value = result.Matrix
	case api.Scalar:
		value = result.Scalar
	default:
		value = result.String
	}
	return struct {
		Type  string `json:"resultType"`
		Value any    `json:"result"`
	}{result.Type, value}
}

func isEmpty(result api.Result) bool {
	return result.Type == api.Vector && len(result.Vector) == 0 || result.Type == api.Matrix && len(result.Matrix) == 0
}

func resultTable(w io.Writer, result api.Result) {
	switch result.Type {
	case api.Scalar:
		fmt.Fprintln(w, number(result.Scalar.Value))
	case api.String:
		fmt.Fprintln(w, result.String.Text)
	case api.Vector:
		for _, sample := range result.Vector {
			value := number(sample.Value.Value)
			if len(sample.Histogram) > 0 {
				value = string(sample.Histogram)
			}
			fmt.Fprintf(w, "%s\t%s\n", seriesName(sample.Metric), value)
		}
	case api.Matrix:
		for _, series := range result.Matrix {
			fmt.Fprintln(w, seriesName(series.Metric))
			for _, point := range series.Values {
				fmt.Fprintf(w, "  %s\t%s\n", stamp(point.At), number(point.Value))
			}
			if len(series.Histograms) > 0 {
				fmt.Fprintf(w, "  %s\n", series.Histograms)
			}
		}
	}
}
