package store

import (
	"fmt"

	promodel "github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Source says whose records a session takes, and the labels its series get.
type Source struct {
	Worker model.WorkerID
	// Boot is whose records they are: the process that made them.
	Boot model.BootID
	// Backfill says that the records were left behind; beside it the worker may
	// have another session for those of now.
	Backfill bool
	// First is the number of the first record that will come; 0 counts as 1.
	First uint64
	// Instance is the worker's sticky name, the label instance.
	Instance string
	// Job is the label job; empty means "node".
	Job string
	// ExtraLabels are added to every series. They may not be instance or job.
	ExtraLabels model.Labels
}

// defaultJob is node_exporter's customary job name, so that existing
// dashboards find the series.
const defaultJob = "node"

// labels is the label set of a source, sorted.
func (s Source) labels() (labels.Labels, error) {
	if s.Worker.IsZero() || s.Boot.IsZero() {
		return labels.EmptyLabels(), fmt.Errorf("source %q: no worker or no boot id", s.Instance)
	}
	if s.Instance == "" {
		return labels.EmptyLabels(), fmt.Errorf("source %s: no instance name", s.Worker)
	}
	if s.Job == "" {
		s.Job = defaultJob
	}
	b := labels.NewScratchBuilder(2 + len(s.ExtraLabels))
	b.Add("instance", s.Instance)
	b.Add("job", s.Job)
	for _, l := range s.ExtraLabels {
		if l.Value != "" {
			b.Add(l.Name, l.Value)
		}
	}
	b.Sort()
	set := b.Labels()
	if name, twice := set.HasDuplicateLabelNames(); twice {
		return labels.EmptyLabels(), fmt.Errorf("source %q: label %q twice", s.Instance, name)
	}
	if !set.IsValid(promodel.UTF8Validation) || set.Has(labels.MetricName) {
		return labels.EmptyLabels(), fmt.Errorf("source %q: labels %s are not valid", s.Instance, set)
	}
	return set, nil
}
