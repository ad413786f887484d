package schemas

import "github.com/cloudless-fleet/cloudless/pkg/model"

// Source returns the source of a number (Source.Number), nil if there is none. It waits for a
// change that is under way.
func (d *Dictionary) Source(number uint32) *Source {
	d.writing.Lock()
	defer d.writing.Unlock()
	return d.numbers[number]
}

// Reserve makes all numbers up to and including number count as given out: there may be
// records elsewhere of sources that are forgotten, or whose own record was lost.
func (d *Dictionary) Reserve(number uint32) {
	d.writing.Lock()
	defer d.writing.Unlock()
	d.last = max(d.last, number)
}

// Until is the time of the last frame of a source's stream that is known of; false if
// none is.
func (d *Dictionary) Until(s *Source, stream model.StreamID) (at model.Millis, known bool) {
	d.mu.RLock()
	spans := s.spans
	d.mu.RUnlock()
	for _, span := range spans {
		if to := model.Millis(span.to.Load()); span.stream == stream && (!known || to > at) {
			at, known = to, true
		}
	}
	return at, known
}
