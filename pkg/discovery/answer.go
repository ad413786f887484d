package discovery

import (
	"net/netip"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
)

const (
	// delayPerWorker spaces the answers of a fleet to 2000 per second.
	delayPerWorker = 500 * time.Microsecond
	// minWindow is for what the announced size does not know: a fleet that
	// starts at once, or a legacy collector, which announces none.
	minWindow = 100 * time.Millisecond
	// maxWaiting bounds how many collectors are answered at a time.
	maxWaiting = 16
)

// AnswerWindow is how long the workers of a fleet of the given size take to
// answer a probe: each waits a random time from 0 to this.
func AnswerWindow(fleetSize int, most time.Duration) time.Duration {
	size := time.Duration(min(max(fleetSize, 0), crm.MaxFleetSize))
	return min(max(size*delayPerWorker, minWindow), most)
}

// waiting holds the answers that wait for their time, one per destination and
// at most maxWaiting. No clock inside.
type waiting struct {
	answers []waitingAnswer
}

type waitingAnswer struct {
	due     time.Time
	to      netip.AddrPort
	ack     *crm.ProbeAck
	request int // size in bytes of the probe it answers
}

// replace puts an answer in the place of one that waits for the same
// destination, if there is one, and keeps its time: a collector that probes often
// is neither answered more often nor kept waiting for ever.
func (w *waiting) replace(a waitingAnswer) bool {
	for i := range w.answers {
		if w.answers[i].to == a.to {
			a.due = w.answers[i].due
			w.answers[i] = a
			return true
		}
	}
	return false
}

// add adds an answer to another destination; false when too many wait.
func (w *waiting) add(a waitingAnswer) bool {
	if len(w.answers) == maxWaiting {
		return false
	}
	w.answers = append(w.answers, a)
	return true
}

// take removes and returns an answer that is due, if there is one.
func (w *waiting) take(now time.Time) (waitingAnswer, bool) {
	for i, a := range w.answers {
		if !a.due.After(now) {
			w.answers = append(w.answers[:i], w.answers[i+1:]...)
			return a, true
		}
	}
	return waitingAnswer{}, false
}

// next is when the first answer falls due; false when none waits.
func (w *waiting) next() (due time.Time, ok bool) {
	for i, a := range w.answers {
		if i == 0 || a.due.Before(due) {
			due = a.due
		}
	}
	return due, len(w.answers) > 0
}
