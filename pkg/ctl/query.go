package ctl

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func (c *command) query(ctx context.Context, args []string) error {
	set := c.flags("query")
	connect, form := connection(set), outputFlag(set)
	at := set.String("time", "", "evaluate at this `time` (RFC 3339 or Unix seconds) instead of now")
	rest, err := c.parse(set, args)
	if err != nil {
		return err
	}
	if len(rest) != 1 {
		return usagef("want one expression, got %d; put it in single quotes", len(rest))
	}
	when, err := parseTime(*at)
	if err != nil {
		return err
	}
	client, err := connect()
	if err != nil {
		return err
	}
	result, err := client.Query(ctx, rest[0], when)
	if err != nil {
		return err
	}
	for _, remark := range slices.Concat(result.Warnings, result.Infos) {
		fmt.Fprintln(c.Err, remark)
	}
	return form.print(c.Out, jsonResult(result), func(w io.Writer) { resultTable(w, result) })
}

func parseTime(text string) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, nil
	}
	seconds, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return time.Time{}, usagef("time %q: want RFC 3339 (2026-01-31T12:00:00Z) or Unix seconds", text)
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

func resultTable(w io.Writer, result api.Result) {
	switch result.Type {
	case api.Scalar:
		fmt.Fprintln(w, number(result.Scalar.Value))
	case api.String:
		fmt.Fprintln(w, result.String.Text)
	case api.Vector:
		if len(result.Vector) == 0 {
			fmt.Fprintln(w, "No series match.")
		}
		for _, sample := range result.Vector {
			value := number(sample.Value.Value)
			if len(sample.Histogram) > 0 {
				value = string(sample.Histogram)
			}
			fmt.Fprintf(w, "%s\t%s\n", seriesName(sample.Metric), value)
		}
	case api.Matrix:
		if len(result.Matrix) == 0 {
			fmt.Fprintln(w, "No series match.")
		}
		for _, series := range result.Matrix {
			fmt.Fprintln(w, seriesName(series.Metric))
			for _, point := range series.Values {
				fmt.Fprintf(w, "  %s\t%s\n", stamp(point.At), number(point.Value))
			}
		}
	}
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func stamp(at model.Millis) string {
	return time.UnixMilli(int64(at)).UTC().Format("2006-01-02T15:04:05.000Z")
}

// seriesName spells a label set as PromQL does, labels in the order of names.
func seriesName(metric map[string]string) string {
	const nameLabel = "__name__"
	names := make([]string, 0, len(metric))
	for name := range metric {
		if name != nameLabel {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	pairs := make([]string, len(names))
	for i, name := range names {
		value, _ := json.Marshal(metric[name]) // PromQL quotes as JSON does
		pairs[i] = name + "=" + string(value)
	}
	if len(pairs) == 0 && metric[nameLabel] != "" {
		return metric[nameLabel]
	}
	return metric[nameLabel] + "{" + strings.Join(pairs, ",") + "}"
}
