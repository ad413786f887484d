package model

import (
	"math"
	"slices"
	"strings"
)

// Label is one name and value of a series.
type Label struct {
	Name  string
	Value string
}

// Labels are sorted by name, without duplicates and without the metric name.
type Labels []Label

// LabelsOf builds Labels from pairs name, value, name, value, ... in any order.
// It panics on an odd number of strings: that is a bug of the caller.
func LabelsOf(pairs ...string) Labels {
	if len(pairs)%2 != 0 {
		panic("model.LabelsOf: a label name without a value")
	}
	labels := make(Labels, 0, len(pairs)/2)
	for i := 0; i < len(pairs); i += 2 {
		labels = append(labels, Label{Name: pairs[i], Value: pairs[i+1]})
	}
	slices.SortFunc(labels, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	return labels
}

// Get returns the value of the named label, or "" when there is none.
func (l Labels) Get(name string) string {
	for _, label := range l {
		if label.Name == name {
			return label.Value
		}
	}
	return ""
}

// MetricType is the kind of a metric family, as Prometheus knows it.
type MetricType uint8

// The metric types that a sampled family can have.
const (
	Untyped MetricType = iota
	Counter
	Gauge
)

func (t MetricType) String() string {
	switch t {
	case Counter:
		return "counter"
	case Gauge:
		return "gauge"
	}
	return "unknown"
}

// Family is a metric: one name, one meaning, one unit, any number of series.
type Family struct {
	Name string
	Help string
	Type MetricType
	// Scale is how many decimal digits after the point the kernel's unit
	// gives the values: 2 for a time counted in hundredths of a second, 0 for
	// bytes. Values that fit the scale are stored as integers. 0 to 9.
	Scale uint8
	// Series are the label sets, one column each, in a stable order.
	Series []Labels
}

// Part is what one collector contributes to a schema: its families, whose
// series in order are the part's columns. Parts carry nothing of the host, so
// hosts of one kind share them.
type Part struct {
	Collector string
	Families  []Family
}

// Columns is the number of series in the part.
func (p Part) Columns() int {
	n := 0
	for i := range p.Families {
		n += len(p.Families[i].Series)
	}
	return n
}

// StreamID numbers the streams of one worker: frames of one rate, each with
// its own schema.
type StreamID uint32

// Millis is a point in time in milliseconds since the Unix epoch, UTC.
type Millis int64

// absentBits is the staleness marker of Prometheus (model/value.StaleNaN): a
// signalling NaN that no measurement produces.
const absentBits = 0x7ff0000000000002

// Absent returns the value of a column that was not read in a round. It is the
// staleness marker of Prometheus, so a query sees the series end there.
func Absent() float64 { return math.Float64frombits(absentBits) }

// IsAbsent reports whether v is the marker that Absent returns. Other NaN are
// values like any other.
func IsAbsent(v float64) bool { return math.Float64bits(v) == absentBits }

// SparseCollector is the collector of parts whose series come one by one: results of
// rules, what a gateway got, what another Prometheus wrote. In such a part model.Absent
// means that a row has no sample of the series, and nothing else: it ends nothing, nor
// does leaving the schema. The series ends where it has the value Ended.
const SparseCollector = "~sparse"

// IsSparse reports whether the series of the part come one by one.
func (p Part) IsSparse() bool { return p.Collector == SparseCollector }

// endedBits is the signalling NaN next to absentBits.
const endedBits = 0x7ff0000000000003

// Ended returns the value of a column of a sparse part that says that its series ends
// there: queries see a staleness marker. It cannot be a sample of such a part. In other
// parts it is a value like any other.
func Ended() float64 { return math.Float64frombits(endedBits) }

// IsEnded reports whether v is the marker that Ended returns.
func IsEnded(v float64) bool { return math.Float64bits(v) == endedBits }
