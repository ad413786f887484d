package feed

import (
	promodel "github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/metadata"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// about is what is known of a metric.
type about struct {
	kind model.MetricType
	help string
}

// tell notes what is known of a metric. It is seen from the next sheet on that the metric
// is in: what was declared stays. Units are not kept.
func (f *Feed) tell(of labels.Labels, m metadata.Metadata) {
	name := of.Get(labels.MetricName)
	if name == "" || m.IsEmpty() {
		return
	}
	told := about{help: clipped(m.Help)}
	switch m.Type {
	case promodel.MetricTypeCounter:
		told.kind = model.Counter
	case promodel.MetricTypeGauge:
		told.kind = model.Gauge
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, known := f.about[name]; known || len(f.about) < f.options.MaxSeries {
		f.about[name] = told
	}
}

// clipped shortens a help text to what a part can have.
func clipped(help string) string {
	if len(help) <= frame.MaxHelp {
		return help
	}
	n := frame.MaxHelp
	for n > 0 && help[n]&0xc0 == 0x80 {
		n--
	}
	return help[:n]
}
