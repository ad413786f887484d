package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Paths of the Prometheus API.
const (
	PathQuery       = "/api/v1/query"
	PathQueryRange  = "/api/v1/query_range"
	PathLabels      = "/api/v1/labels"
	PathLabelValues = "/api/v1/label/{name}/values"
	PathSeries      = "/api/v1/series"
	PathMetadata    = "/api/v1/metadata"
	PathBuildInfo   = "/api/v1/status/buildinfo"
	PathReady       = "/-/ready"
	PathHealthy     = "/-/healthy"
)

// The values of Result.Type.
const (
	Vector = "vector"
	Matrix = "matrix"
	Scalar = "scalar"
	String = "string"
)

// Result is the answer to a query. Type says which of the members is filled.
type Result struct {
	Type   string
	Vector []Sample
	Matrix []Series
	Scalar Point
	String StringPoint
	// Warnings and Infos are the remarks of the engine; the result stands.
	Warnings []string
	Infos    []string
}

// Sample is one element of an instant vector.
type Sample struct {
	Metric map[string]string `json:"metric"`
	Value  Point             `json:"value"`
	// Histogram is the native histogram as Prometheus spells it, when the
	// sample is one; Value is then zero.
	Histogram json.RawMessage `json:"histogram,omitempty"`
}

// Series is one element of a range vector.
type Series struct {
	Metric     map[string]string `json:"metric"`
	Values     []Point           `json:"values,omitempty"`
	Histograms json.RawMessage   `json:"histograms,omitempty"`
}

// Point is a value at a time. On the wire it is [seconds, "value"].
type Point struct {
	At    model.Millis
	Value float64
}

// StringPoint is a text at a time, the result of a string literal.
type StringPoint struct {
	At   model.Millis
	Text string
}

// FamilyMetadata describes one meaning of a metric name.
type FamilyMetadata struct {
	Type string `json:"type"`
	Help string `json:"help"`
	Unit string `json:"unit"`
}

// BuildInfo is the answer of /api/v1/status/buildinfo. Version is the version
// of the Prometheus API that is spoken, because clients choose features by it;
// Cloudless is the product's own.
type BuildInfo struct {
	Version   string `json:"version"`
	Revision  string `json:"revision"`
	Branch    string `json:"branch"`
	BuildUser string `json:"buildUser"`
	BuildDate string `json:"buildDate"`
	GoVersion string `json:"goVersion"`
	Cloudless string `json:"cloudless"`
}

// MarshalJSON writes [seconds, "value"].
func (p Point) MarshalJSON() ([]byte, error) {
	b := append([]byte{'['}, formatSeconds(p.At)...)
	b = append(b, ',', '"')
	b = append(b, formatValue(p.Value)...)
	return append(b, '"', ']'), nil
}

// UnmarshalJSON reads [seconds, "value"]; seconds keep their milliseconds exactly.
func (p *Point) UnmarshalJSON(b []byte) (err error) {
	var at model.Millis
	var raw json.RawMessage
	if at, raw, err = parsePair(b); err != nil {
		return err
	}
	p.At = at
	p.Value, err = parseValue(raw)
	return err
}

// MarshalJSON writes [seconds, "text"].
func (p StringPoint) MarshalJSON() ([]byte, error) {
	return json.Marshal([]any{json.RawMessage(formatSeconds(p.At)), p.Text})
}

// UnmarshalJSON reads [seconds, "text"].
func (p *StringPoint) UnmarshalJSON(b []byte) (err error) {
	var raw json.RawMessage
	if p.At, raw, err = parsePair(b); err != nil {
		return err
	}
	return json.Unmarshal(raw, &p.Text)
}

func parsePair(b []byte) (at model.Millis, second json.RawMessage, err error) {
	var pair []json.RawMessage
	if err := json.Unmarshal(b, &pair); err != nil {
		return 0, nil, err
	}
	if len(pair) != 2 {
		return 0, nil, fmt.Errorf("point with %d elements, want [seconds, value]", len(pair))
	}
	at, err = parseSeconds(string(pair[0]))
	return at, pair[1], err
}

// parseSeconds reads decimal seconds as milliseconds without going through a
// float, which would move some of them by one.
func parseSeconds(text string) (model.Millis, error) {
	if strings.ContainsAny(text, "eE") {
		f, err := strconv.ParseFloat(text, 64)
		return model.Millis(f * 1000), err
	}
	whole, fraction, _ := strings.Cut(text, ".")
	fraction = (fraction + "000")[:3]
	sum, err := strconv.ParseInt(whole+fraction, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("time %q: want seconds", text)
	}
	return model.Millis(sum), nil
}

func formatSeconds(at model.Millis) string {
	sign := ""
	if at < 0 {
		sign, at = "-", -at
	}
	if at%1000 == 0 {
		return sign + strconv.FormatInt(int64(at/1000), 10)
	}
	return fmt.Sprintf("%s%d.%03d", sign, at/1000, at%1000)
}

// parseValue reads a number in quotes, as Prometheus writes it.
func parseValue(b []byte) (float64, error) {
	text := string(bytes.Trim(b, `"`))
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("value %s: want a number in quotes", b)
	}
	return f, nil
}

func formatValue(f float64) string { return strconv.FormatFloat(f, 'f', -1, 64) }
