package feed

import (
	"fmt"
	"math"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// series is a series of the feed, or of a batch that is not committed yet.
type series struct {
	labels labels.Labels
	hash   uint64
	next   *series // with the same hash
	ref    storage.SeriesRef

	stream *stream // nil: it is in none
	column int32   // of the stream's row
	text   int32   // bytes of its names and labels
	scale  uint8   // decimal digits of its first value
	some   bool    // it has had a sample:
	last   int64   // the time of the newest
	bits   uint64  // and its value
	used   int64   // when that was committed, in seconds
}

// table finds series.
type table struct {
	byHash map[uint64]*series
	slots  []slot
	free   []uint32 // slots
	count  int
}

// slot is where a reference leads. A reference to what was there before is not
// taken for one to what is there now.
type slot struct {
	series *series
	turn   uint32
}

func newTable() table { return table{byHash: map[uint64]*series{}} }

// find returns the series with the labels, or nil.
func (t *table) find(hash uint64, of labels.Labels) *series {
	return chained(t.byHash[hash], of)
}

func chained(s *series, of labels.Labels) *series {
	for ; s != nil; s = s.next {
		if labels.Equal(s.labels, of) {
			return s
		}
	}
	return nil
}

// at returns the series of a reference, or nil.
func (t *table) at(ref storage.SeriesRef) *series {
	i := uint64(ref & math.MaxUint32)
	if i == 0 || i > uint64(len(t.slots)) || t.slots[i-1].turn != uint32(ref>>32) {
		return nil
	}
	return t.slots[i-1].series
}

func (t *table) add(s *series) {
	s.next = t.byHash[s.hash]
	t.byHash[s.hash] = s
	t.count++
	if n := len(t.free); n > 0 {
		i := t.free[n-1]
		t.free = t.free[:n-1]
		t.slots[i].series = s
		s.ref = storage.SeriesRef(uint64(t.slots[i].turn)<<32 | uint64(i+1))
		return
	}
	t.slots = append(t.slots, slot{series: s})
	s.ref = storage.SeriesRef(len(t.slots))
}

// remove forgets a series.
func (t *table) remove(s *series) {
	t.count--
	i := uint32(s.ref) - 1
	t.slots[i].series = nil
	t.slots[i].turn++
	t.free = append(t.free, i)
	s.stream = nil
	first := t.byHash[s.hash]
	switch {
	case first == s && s.next == nil:
		delete(t.byHash, s.hash)
	case first == s:
		t.byHash[s.hash] = s.next
	default:
		for ; first.next != s; first = first.next {
		}
		first.next = s.next
	}
	s.next = nil
}

// newSeries makes a series that is not in the feed.
func newSeries(of labels.Labels, hash uint64) (*series, error) {
	s := &series{labels: of, hash: hash}
	n, before, named := 0, "", false
	err := of.Validate(func(l labels.Label) error {
		if l.Name <= before {
			return fmt.Errorf("label %.40q after %.40q: %w", l.Name, before, ErrInvalid)
		}
		before = l.Name
		s.text += int32(len(l.Name) + len(l.Value))
		if l.Name == labels.MetricName {
			named = true
			return checkText("metric name", l.Value, frame.MaxName)
		}
		n++
		if err := checkText("label name", l.Name, frame.MaxName); err != nil {
			return err
		}
		return checkText("value of label "+l.Name, l.Value, frame.MaxValue)
	})
	switch {
	case err != nil:
		return nil, err
	case !named:
		return nil, fmt.Errorf("series %.200s has no metric name: %w", of, ErrInvalid)
	case n > frame.MaxLabels:
		return nil, fmt.Errorf("series %.200s has %d labels, at most %d are taken: %w", of, n, frame.MaxLabels, ErrInvalid)
	}
	return s, nil
}

func checkText(what, text string, most int) error {
	switch {
	case text == "":
		return fmt.Errorf("%s is empty: %w", what, ErrInvalid)
	case len(text) > most:
		return fmt.Errorf("%s %.40q... has %d bytes, at most %d are taken: %w", what, text, len(text), most, ErrInvalid)
	case !utf8.ValidString(text):
		return fmt.Errorf("%s %.40q is not UTF-8: %w", what, text, ErrInvalid)
	}
	return nil
}

// own are the labels of a series but for its name.
func (s *series) own() model.Labels {
	own := make(model.Labels, 0, s.labels.Len())
	s.labels.Range(func(l labels.Label) {
		if l.Name != labels.MetricName {
			own = append(own, model.Label(l))
		}
	})
	return own
}

// decimals is how many digits after the point a value has, 0 if they are too many.
func decimals(v float64) uint8 {
	power := 1.0
	for d := range uint8(frame.MaxScale + 1) {
		if n := math.Round(v * power); math.Abs(n) < 1<<53 && n/power == v {
			return d
		}
		power *= 10
	}
	return 0
}
