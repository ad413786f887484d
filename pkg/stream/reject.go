package stream

import "math"

// maxRejects bounds the rejections that wait to be sent. Beyond, records are
// added to the newest one, whatever its cause: their number stays right.
const maxRejects = 64

// addReject adds a record to the rejections, which are in the order of numbers.
func addReject(list []reject, seq uint64, why *Refusal) []reject {
	return mergeRejects(list, []reject{{cause: why.Cause, from: seq, through: seq, records: 1, text: why.Text}})
}

// mergeRejects appends rejections to a list. One with the cause of the one
// before it becomes part of it: a worker whose clock is wrong has every frame
// rejected, and hears of it once in a while, not once a frame.
func mergeRejects(list, more []reject) []reject {
	for _, r := range more {
		n := len(list)
		if n > 0 && (list[n-1].cause == r.cause || n >= maxRejects) && list[n-1].records <= math.MaxUint32-r.records {
			list[n-1].through = r.through
			list[n-1].records += r.records
			continue
		}
		list = append(list, r)
	}
	return list
}
