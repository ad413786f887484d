package store

import (
	"fmt"
	"sort"

	promodel "github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// part is a parsed part, shared by all schemas that name it. Immutable.
type part struct {
	id   frame.PartID
	size int // of its encoding, in bytes
	model.Part
	starts []int // first column of each family
}

func newPart(id frame.PartID, size int, parsed model.Part) *part {
	p := &part{id: id, size: size, Part: parsed, starts: make([]int, len(parsed.Families))}
	columns := 0
	for i := range parsed.Families {
		p.starts[i] = columns
		columns += len(parsed.Families[i].Series)
	}
	return p
}

// column finds the series of one column.
func (p *part) column(i int) (*model.Family, model.Labels) {
	f := sort.SearchInts(p.starts, i+1) - 1
	return &p.Families[f], p.Families[f].Series[i-p.starts[f]]
}

// schema is a layout with its parts, shared by all streams that have it. Immutable.
type schema struct {
	id     frame.SchemaID
	layout *frame.Layout
	parts  []*part
}

func newSchema(id frame.SchemaID, parts []*part) (*schema, error) {
	plain := make([]model.Part, len(parts))
	for i, p := range parts {
		plain[i] = p.Part
	}
	layout, err := frame.NewLayout(plain)
	if err != nil {
		return nil, err
	}
	return &schema{id: id, layout: layout, parts: parts}, nil
}

func (s *schema) columns() int { return s.layout.Columns() }

// column finds the series of one column, over all parts.
func (s *schema) column(i int) (*model.Family, model.Labels) {
	n := sort.Search(s.layout.Parts(), func(k int) bool {
		_, to := s.layout.PartRange(k)
		return to > i
	})
	from, _ := s.layout.PartRange(n)
	return s.parts[n].column(i - from)
}

// Source says whose records a session takes, and the labels its series get.
type Source struct {
	Worker model.WorkerID
	Boot   model.BootID
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

// identity is the label set of a source, sorted.
func (s Source) identity() (labels.Labels, error) {
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

// exported is put before a series' own label that the source has too: the
// source's word counts, as with scraped targets.
const exported = "exported_"

// seriesLabels joins the name and labels of a column with those of its source.
func seriesLabels(b *labels.ScratchBuilder, source labels.Labels, name string, own model.Labels) labels.Labels {
	b.Reset()
	b.Add(labels.MetricName, name)
	for _, l := range own {
		if l.Value == "" {
			continue // the same as no label
		}
		key := l.Name
		for source.Has(key) || (key != l.Name && own.Get(key) != "") {
			key = exported + key
		}
		b.Add(key, l.Value)
	}
	source.Range(func(l labels.Label) { b.Add(l.Name, l.Value) })
	b.Sort()
	return b.Labels()
}
