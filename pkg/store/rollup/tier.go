package rollup

import "github.com/cloudless-fleet/cloudless/pkg/model"

// Tier is how wide the buckets of a rollup are, in milliseconds.
type Tier model.Millis

// The tiers, finest first.
const (
	Minute Tier = 60_000
	Hour   Tier = 3_600_000
)

func (t Tier) String() string {
	switch t {
	case Minute:
		return "1m"
	case Hour:
		return "1h"
	}
	return "unknown tier"
}

// Known reports whether t is a tier of this version.
func (t Tier) Known() bool { return t == Minute || t == Hour }

// End is the end of the bucket that holds a time: the first multiple of the tier that
// is not before it.
func (t Tier) End(at model.Millis) model.Millis {
	width := model.Millis(t)
	end := at - at%width
	if end < at {
		end += width
	}
	return end
}

// aligned reports whether a time or a length is a multiple of the tier.
func (t Tier) aligned(at model.Millis) bool { return at%model.Millis(t) == 0 }

// Worthwhile reports whether a tier is worth its space for a lane that had so many rows in so
// many buckets of it: a bucket takes about as much as five rows of the columns that move.
func Worthwhile(rows, buckets int) bool { return rows >= 12*buckets }
