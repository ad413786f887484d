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
