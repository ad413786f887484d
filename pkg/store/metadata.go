package store

import (
	"cmp"
	"slices"
	"sync"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// maxFamilies and maxMeanings bound what is remembered about metrics: names,
// and different types or texts of one name. More are not remembered.
const (
	maxFamilies = 50_000
	maxMeanings = 4
)

// metadata is what the parts say about metrics. Safe for concurrent use.
type metadata struct {
	mu       sync.RWMutex // guards families
	families map[string][]model.Family
}

func newMetadata() *metadata { return &metadata{families: map[string][]model.Family{}} }

// add remembers the families of a part, without their series.
func (m *metadata) add(p model.Part) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range p.Families {
		known, has := m.families[f.Name]
		if (!has && len(m.families) >= maxFamilies) || len(known) >= maxMeanings || slices.ContainsFunc(known, func(k model.Family) bool {
			return k.Type == f.Type && k.Help == f.Help
		}) {
			continue
		}
		m.families[f.Name] = append(known, model.Family{Name: f.Name, Type: f.Type, Help: f.Help})
	}
}

// find lists one family, or all when name is empty, sorted by name.
func (m *metadata) find(name string) []model.Family {
	m.mu.RLock()
	defer m.mu.RUnlock()
	if name != "" {
		return slices.Clone(m.families[name])
	}
	all := make([]model.Family, 0, len(m.families))
	for _, known := range m.families {
		all = append(all, known...)
	}
	slices.SortStableFunc(all, func(a, b model.Family) int { return cmp.Compare(a.Name, b.Name) })
	return all
}

// Metadata describes the metrics that workers have sent since the store was
// made: type and help of the named one, or of all when metric is empty, sorted
// by name. A name has several entries when parts disagree. Series are nil.
func (s *Store) Metadata(metric string) []model.Family { return s.meta.find(metric) }
