package rollup

import "github.com/cloudless-fleet/cloudless/pkg/model"

// Join appends what a series has in two lanes, whose buckets rise by their ends, each end
// once. The buckets of a come from the lane whose samples count where both have one. More
// lanes are joined one after the other.
//
// A series that ends in one lane goes on if it is live in the other.
//
// apart is false when samples of both lanes lie between each other in a bucket: a
// series of raw samples is then the only one that is right. Such a bucket has the samples of
// the lane with more of them.
func Join(dst, a, b []Bucket) (buckets []Bucket, apart bool) {
	j := joint{}
	apart = true
	for len(a) > 0 || len(b) > 0 {
		switch {
		case len(b) == 0 || len(a) > 0 && a[0].At < b[0].At:
			dst, a = append(dst, j.one(a[0], 0)), a[1:]
		case len(a) == 0 || b[0].At < a[0].At:
			dst, b = append(dst, j.one(b[0], 1)), b[1:]
		default:
			both, disjoint := j.both(a[0], b[0])
			dst, a, b = append(dst, both), a[1:], b[1:]
			apart = apart && disjoint
		}
	}
	return dst, apart
}

// joint knows in which lanes the series is live.
type joint struct{ live [2]bool }

// death is when the series ended in a lane, which had the bucket b: ok is false when it did not.
func (j *joint) death(b *Bucket, lane int) (at model.Millis, ok bool) {
	switch {
	case b.Count == 0 && j.live[lane]:
		return b.From, true
	case b.Count > 0 && b.Stale:
		return b.StaleAt, true
	}
	return 0, false
}

// one is a bucket that one lane has.
func (j *joint) one(b Bucket, lane int) Bucket {
	_, died := j.death(&b, lane)
	j.live[lane] = !died && (b.Count > 0 || j.live[lane])
	ended := died && !j.live[1-lane]
	b.Stale = b.Stale && ended
	b.Silent = b.Count == 0 && !ended
	return b
}

// both is a bucket that both lanes have.
func (j *joint) both(a, b Bucket) (both Bucket, apart bool) {
	end, diedA := j.death(&a, 0)
	endB, diedB := j.death(&b, 1)
	j.live[0] = !diedA && (a.Count > 0 || j.live[0])
	j.live[1] = !diedB && (b.Count > 0 || j.live[1])
	ended := (diedA || diedB) && !j.live[0] && !j.live[1]
	if !diedA || diedB && endB > end {
		end = endB
	}
	from, to := min(a.From, b.From), max(a.To, b.To)
	apart = true
	both = a
	switch {
	case a.Count == 0:
		both = b
	case b.Count == 0:
	case a.LastAt < b.FirstAt:
		both.Add(b)
	case b.LastAt < a.FirstAt:
		both = b
		both.Add(a)
	default:
		if apart = false; b.Count > a.Count {
			both = b
		}
	}
	both.From, both.To = from, to
	both.Silent = both.Count == 0 && !ended
	both.Stale, both.StaleAt = false, 0
	if ended && both.Count > 0 {
		both.Stale, both.StaleAt = true, max(end, both.LastAt+1)
	} else if ended {
		both.From = end
	}
	return both, apart
}
