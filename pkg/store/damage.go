package store

import (
	"github.com/cloudless-fleet/cloudless/pkg/durable"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// report logs and counts damage of a log. A torn tail is what a power cut leaves, and
// costs nothing that anybody was told is stored.
func (s *Store) report(damage []*durable.Damage) {
	for _, d := range damage {
		if d.Torn {
			s.log.Info("the end of a log was not finished", "err", d)
			continue
		}
		s.figures.damage.Add(1)
		s.log.Error("a file of the store is damaged", "err", d)
	}
}

func (s *Store) reportVolume(d *volume.Damage) {
	s.figures.damage.Add(1)
	s.log.Error("a file of the store is damaged", "err", d)
}
