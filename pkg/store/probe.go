package store

import (
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// The database's own counters that the store must know: there is no other way
// to learn of them.
const (
	lateLogMetric    = "prometheus_tsdb_out_of_order_wbl_writes_failed_total"
	compactionMetric = "prometheus_tsdb_compactions_failed_total"
)

// probe is handed to the database as its metrics registry and keeps the few
// collectors that matter. Safe for concurrent use.
type probe struct {
	mu   sync.Mutex // guards kept
	kept map[string]prometheus.Collector
}

func newProbe() *probe { return &probe{kept: map[string]prometheus.Collector{}} }

// Register implements prometheus.Registerer.
func (p *probe) Register(c prometheus.Collector) error {
	descriptions := make(chan *prometheus.Desc, 64)
	go func() {
		c.Describe(descriptions)
		close(descriptions)
	}()
	for d := range descriptions {
		for _, name := range []string{lateLogMetric, compactionMetric} {
			if strings.Contains(d.String(), `"`+name+`"`) {
				p.mu.Lock()
				p.kept[name] = c
				p.mu.Unlock()
			}
		}
	}
	return nil
}

// MustRegister implements prometheus.Registerer.
func (p *probe) MustRegister(collectors ...prometheus.Collector) {
	for _, c := range collectors {
		_ = p.Register(c) // never fails
	}
}

// Unregister implements prometheus.Registerer.
func (p *probe) Unregister(prometheus.Collector) bool { return true }

func (p *probe) lateLogFailures() float64    { return p.value(lateLogMetric) }
func (p *probe) compactionFailures() float64 { return p.value(compactionMetric) }

// value reads a counter; 0 when the database never registered it.
func (p *probe) value(name string) float64 {
	p.mu.Lock()
	c := p.kept[name]
	p.mu.Unlock()
	if c == nil {
		return 0
	}
	metrics := make(chan prometheus.Metric, 1)
	c.Collect(metrics) // a plain counter: exactly one
	var value dto.Metric
	if err := (<-metrics).Write(&value); err != nil {
		return 0
	}
	return value.GetCounter().GetValue()
}
