package schemas

import (
	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Source returns the source of a number (Source.Number), nil if there is none. It waits for a
// change that is under way.
func (d *Dictionary) Source(number uint32) *Source {
	d.writing.Lock()
	defer d.writing.Unlock()
	return d.numbers[number]
}

// AddSourceAs is AddSource for a source that had a number before. If that is
// 0 or another's, it gets a new one.
func (d *Dictionary) AddSourceAs(record []byte, number uint32, worker model.WorkerID, hostLabels labels.Labels) ([]byte, *Source, error) {
	d.writing.Lock()
	if number == 0 || d.numbers[number] != nil || d.findSource(worker, hostLabels) != nil {
		d.writing.Unlock()
		return d.AddSource(record, worker, hostLabels)
	}
	defer d.writing.Unlock()
	s, err := d.addSource(number, worker, hostLabels)
	if err != nil {
		return record, nil, err
	}
	return appendSource(record, s), s, nil
}

// FindSource returns the source that a worker is under these labels, nil if there is none.
func (d *Dictionary) FindSource(worker model.WorkerID, hostLabels labels.Labels) *Source {
	d.writing.Lock()
	defer d.writing.Unlock()
	return d.findSource(worker, hostLabels)
}

// findSource is called with writing held.
func (d *Dictionary) findSource(worker model.WorkerID, hostLabels labels.Labels) *Source {
	h := d.findHost(hostLabels)
	if h == nil {
		return nil
	}
	return d.sources[sourceKey{worker, h}]
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
