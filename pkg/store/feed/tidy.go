package feed

import "time"

const (
	// silentAfter is how long a series may be silent before it leaves the schema.
	silentAfter = time.Hour
	// tidyEvery is how often silent series are looked for.
	tidyEvery = 5 * time.Minute
	// tidyRetry is how often at most that is done out of need.
	tidyRetry = 10 * time.Second
)

// tidyNowAndThen tidies when it is time.
func (f *Feed) tidyNowAndThen() {
	if f.options.Now().Sub(f.tidied) >= tidyEvery {
		f.tidy(2)
	}
}

// makeRoom says whether there may be n series more.
func (f *Feed) makeRoom(n int) bool {
	if f.table.count+n <= f.options.MaxSeries {
		return true
	}
	if f.options.Now().Sub(f.tidied) >= tidyRetry {
		f.tidy(8)
	}
	return f.table.count+n <= f.options.MaxSeries
}

// tidy forgets silent series: of streams in which all are, and of those in which at least
// one in so many is.
func (f *Feed) tidy(oneIn int) {
	now := f.options.Now()
	f.tidied = now
	before := now.Add(-silentAfter).Unix()
	for _, st := range f.streams {
		var live []*series
		for _, sh := range st.sheets {
			for _, s := range sh.series {
				if s.used > before {
					live = append(live, s)
				}
			}
		}
		silent := st.columns - len(live)
		if silent == 0 || len(live) > 0 && silent*oneIn < st.columns {
			continue
		}
		for _, sh := range st.sheets {
			for _, s := range sh.series {
				if s.used <= before {
					f.table.remove(s)
				}
			}
		}
		st.set(nil)
		st.add(live)
	}
}
