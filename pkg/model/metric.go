package model

// Metric is one self-measured value of a daemon. Engines expose Stats structs;
// the daemon that owns them lists them as metrics named cloudless_*.
type Metric struct {
	Name   string
	Help   string
	Type   MetricType
	Labels Labels
	Value  float64
}

// Metrics is a list of self-measured values under construction. Metrics of one
// name must be added one after the other.
type Metrics []Metric

// Count adds a counter; labels are pairs of name and value.
func (m *Metrics) Count(name, help string, value uint64, labels ...string) {
	*m = append(*m, Metric{Name: name, Help: help, Type: Counter, Labels: LabelsOf(labels...), Value: float64(value)})
}

// Total adds a counter of something that is not counted in pieces, like seconds.
func (m *Metrics) Total(name, help string, value float64, labels ...string) {
	*m = append(*m, Metric{Name: name, Help: help, Type: Counter, Labels: LabelsOf(labels...), Value: value})
}

// Gauge adds a gauge.
func (m *Metrics) Gauge(name, help string, value float64, labels ...string) {
	*m = append(*m, Metric{Name: name, Help: help, Type: Gauge, Labels: LabelsOf(labels...), Value: value})
}
