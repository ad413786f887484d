package store

import (
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/store/rollup"
	"github.com/cloudless-fleet/cloudless/pkg/store/volume"
)

// rollTier is a tier of rollups as the store keeps it: one volume for each window of time.
type rollTier struct {
	volume volume.Tier
	rollup rollup.Tier
	// window is how long the time of one volume is: it makes blocks of some hundred rows.
	window model.Millis
}

const (
	minuteWindow = model.Millis(6 * time.Hour / time.Millisecond)
	hourWindow   = model.Millis(7 * 24 * time.Hour / time.Millisecond)
	// grain divides all windows.
	grain = minuteWindow
)

// rollTiers are the tiers, finest first.
func rollTiers() [2]rollTier {
	return [2]rollTier{{volume.Minute, rollup.Minute, minuteWindow}, {volume.Hour, rollup.Hour, hourWindow}}
}

// rollTierOf finds the tier of rollups.
func rollTierOf(tier rollup.Tier) rollTier {
	for _, t := range rollTiers() {
		if t.rollup == tier {
			return t
		}
	}
	panic("store: no tier " + tier.String())
}

// width is how long a bucket is.
func (t rollTier) width() model.Millis { return model.Millis(t.rollup) }

// windowEnd is the end of the window that holds a time: windows hold their end, as buckets do,
// and are aligned as these are.
func (t rollTier) windowEnd(at model.Millis) model.Millis { return ceil(at, t.window) }

// windowOf is the end of the window that a volume is of; ok is false when it is of none, as
// one that other windows were in use for.
func (t rollTier) windowOf(f *volume.File) (end model.Millis, ok bool) {
	first, last := f.Range()
	end = t.windowEnd(first)
	return end, f.Tier() == t.volume && last <= end
}

// ceil is the first multiple of a width that is not before at.
func ceil(at, width model.Millis) model.Millis {
	end := at - at%width
	if end < at {
		end += width
	}
	return end
}

// keeps says whether the store makes rollups of the tier.
func (c Config) keeps(tier volume.Tier) bool {
	switch tier {
	case volume.Minute:
		return c.MinuteRetention > 0
	case volume.Hour:
		return c.HourRetention > 0
	}
	return true
}

const (
	// flagLost marks an entry of a rollup some of whose rows could not be read when it was made.
	flagLost = 2
	// flagSource marks an entry of no lane: the rollup has the rows of the raw volume whose number
	// stands in Labels. When that is gone, rollups are all that is left of its time.
	flagSource = 4
)
