package rollup

// Use is what samples are made of a bucket, so that a function of PromQL sees in a
// window of whole buckets what it would see in the raw samples.
type Use uint8

// The uses.
const (
	// UseLast: the last sample at its true time, and the marker after it. Plain selectors,
	// last_over_time, present_over_time, absent_over_time.
	UseLast Use = iota
	// UseMin and UseMax: one sample of that value. min_over_time, max_over_time.
	UseMin
	UseMax
	// UseSum: one sample of the sum. sum_over_time of whole numbers.
	UseSum
	// UseRate: the first and the last sample at their true times, and what is needed
	// between them so that rate and increase add what resets took away.
	UseRate
	// UseEnds: the first and the last sample at their true times. delta.
	UseEnds
	// UseResets: as many falls as there were. resets.
	UseResets
	// UseFill: as many samples as there were, with the same first, last, least and
	// highest value, and sum. Exact for count_over_time; for others the best that is left
	// when raw samples are gone.
	UseFill
)

// UseOf tells what use serves a selector best whose hints name a function and, if it is a
// matrix selector, a range. exact says that a window of whole buckets then gives what
// raw samples give, unless Emit says otherwise of a series.
//
// What is not exact is for times whose raw samples are gone.
func UseOf(function string, ranged bool) (use Use, exact bool) {
	if !ranged {
		return UseLast, true
	}
	switch function {
	case "last_over_time", "present_over_time", "absent_over_time":
		return UseLast, true
	case "min_over_time":
		return UseMin, true
	case "max_over_time":
		return UseMax, true
	case "sum_over_time":
		return UseSum, true
	case "rate", "increase":
		return UseRate, true
	case "delta":
		return UseEnds, true
	case "resets":
		return UseResets, true
	case "irate", "idelta", "deriv", "predict_linear", "double_exponential_smoothing":
		return UseEnds, false
	case "": // a matrix as the result of a query
		return UseLast, false
	}
	return UseFill, false
}
