package store_test

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// fed is a sample that came by itself. One with the value model.Absent is a marker.
type fed struct {
	of labels.Labels
	sample
}

// feed gives the store some samples of rules' results.
func (d *driver) feed(all []fed) {
	d.tb.Helper()
	f, err := d.store.Feed("rules")
	if err != nil {
		d.tb.Fatal(err)
	}
	app := f.Appender(d.tb.Context())
	for _, one := range all {
		if _, err := app.Append(0, one.of, one.at, one.v); err != nil {
			d.tb.Fatalf("feed %v at %d: %v", one.of, one.at, err)
		}
	}
	if err := app.Commit(); err != nil {
		d.tb.Fatal(err)
	}
	d.reference.fed = append(d.reference.fed, all...)
}

// rules has rules give results every minute. Some series end and come back, some results are late.
func (s *script) rules(f fleet) {
	c := s.chooser
	states := map[string]*state{}
	for at := f.from - f.from%minute + 137; at < f.to; at += minute {
		if in(c, 40) {
			at += minute * model.Millis(c.IntN(20))
		}
		var all []fed
		for i := range 2 + c.IntN(4) {
			of := labels.FromStrings("__name__", one(c, "instance:load:avg", "job:forks:total"), "instance", fmt.Sprintf("host%02d", i), "rule", "yes")
			st := states[of.String()]
			if st == nil {
				st = &state{}
				states[of.String()] = st
			}
			st.v += float64(c.IntN(100)) / 8
			v := st.v
			if slices.ContainsFunc(all, func(o fed) bool { return labels.Equal(o.of, of) }) {
				continue
			}
			if in(c, 10) {
				v = model.Absent() // which is an end here
			}
			all = append(all, fed{of, sample{int64(at), v}})
		}
		arrives := at + second
		if in(c, 12) {
			arrives += model.Millis(c.IntN(int(hour)))
		}
		s.steps = append(s.steps, step{arrives, func() { s.driver.feed(all) }})
	}
}

// fedSeries are the series of what came one by one.
func (r *reference) fedSeries() (all []trueSeries) {
	sorted := slices.Clone(r.fed)
	slices.SortStableFunc(sorted, func(a, b fed) int { return cmp.Or(labels.Compare(a.of, b.of), cmp.Compare(a.at, b.at)) })
	for _, one := range sorted {
		if n := len(all); n == 0 || !labels.Equal(all[n-1].labels, one.of) {
			all = append(all, trueSeries{labels: one.of})
		}
		into := &all[len(all)-1]
		into.samples = append(into.samples, one.sample)
	}
	return all
}
