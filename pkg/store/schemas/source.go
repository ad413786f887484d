package schemas

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	promodel "github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Source is a worker under one set of host labels. A worker that is renamed is
// another source from then on; what it had stays with the old one.
type Source struct {
	worker model.WorkerID
	host   *host
	number uint32
	former []uint32 // numbers that it had before, in the log; guarded by writing
	bytes  int64

	spans  []*Span        // guarded by mu, grows at its end, or is replaced
	latest map[stay]*Span // of each stream and schema; nil while there are few spans; guarded by writing
	idle   bool           // had no span when it was last looked at; guarded by writing
	gone   bool           // forgotten; guarded by writing
}

// Worker is the worker's id.
func (s *Source) Worker() model.WorkerID { return s.worker }

// Labels are the host's labels, sorted. They must not be changed.
func (s *Source) Labels() []labels.Label { return s.host.labels }

// Number is what records call the source.
func (s *Source) Number() uint32 { return s.number }

// host is a set of host labels, kept once for all sources that have it.
type host struct {
	next    *host
	hash    uint64
	labels  []labels.Label // sorted
	shape   *shape
	slot    int       // tells it from the other hosts of its shape; used again when it is forgotten
	sources []*Source // grows at its end, or is replaced
}

// shape is a set of host label names.
type shape struct {
	names  []string // sorted
	values []map[string]*hostValue
	hosts  []*host // grows at its end, or is replaced
	slots  int     // how many were given out
	free   []int   // of them are not in use; guarded by writing
}

// hostValue is a value of a host label, with the hosts that have it.
type hostValue struct {
	value string
	hosts []*host // grows at its end, or is replaced
}

type sourceKey struct {
	worker model.WorkerID
	host   *host
}

// AddSource adds a worker with the labels of its host (instance, job, ...; none for one
// whose parts bring all labels), and appends the record of it to record. A source that is there already changes nothing. It
// fails with ErrLabels and a LimitError. A source without a span is forgotten at the
// second call of Forget.
func (d *Dictionary) AddSource(record []byte, worker model.WorkerID, hostLabels labels.Labels) ([]byte, *Source, error) {
	d.writing.Lock()
	defer d.writing.Unlock()
	if h := d.findHost(hostLabels); h != nil {
		if s := d.sources[sourceKey{worker, h}]; s != nil {
			s.idle = false
			return record, s, nil
		}
	}
	if d.last == math.MaxUint32 {
		return record, nil, &LimitError{"numbers", math.MaxUint32}
	}
	s, err := d.addSource(d.last+1, worker, hostLabels)
	if err != nil {
		return record, nil, err
	}
	return appendSource(record, s), s, nil
}

// addSource adds a source that is not there. Called with writing held.
func (d *Dictionary) addSource(number uint32, worker model.WorkerID, hostLabels labels.Labels) (*Source, error) {
	if err := checkHost(worker, hostLabels); err != nil {
		return nil, fmt.Errorf("schemas: add source %v: %w", worker, err)
	}
	if len(d.sources) >= d.config.Sources {
		return nil, &LimitError{"sources", int64(d.config.Sources)}
	}
	if d.bytes+costOf(hostLabels) > int64(d.config.Bytes) {
		return nil, &LimitError{"bytes", int64(d.config.Bytes)}
	}
	h := d.findHost(hostLabels)
	if h == nil {
		var err error
		if h, err = d.addHost(hostLabels); err != nil {
			return nil, err
		}
	}
	s := &Source{worker: worker, host: h, number: number, bytes: costOf(hostLabels)}
	d.bytes += s.bytes
	d.numbers[number] = s
	d.last = max(d.last, number)
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sources[sourceKey{worker, h}] = s
	h.sources = append(h.sources, s)
	return s, nil
}

// costOf is about how many bytes a source takes.
func costOf(hostLabels labels.Labels) int64 {
	cost := int64(sourceBytes)
	hostLabels.Range(func(l labels.Label) { cost += labelBytes + int64(len(l.Value)) })
	return cost
}

func checkHost(worker model.WorkerID, ls labels.Labels) error {
	if worker.IsZero() {
		return fmt.Errorf("no worker id: %w", ErrLabels)
	}
	if n := ls.Len(); n > frame.MaxLabels {
		return fmt.Errorf("%d labels, want at most %d: %w", n, frame.MaxLabels, ErrLabels)
	}
	return ls.Validate(func(l labels.Label) error {
		switch {
		case !promodel.UTF8Validation.IsValidLabelName(l.Name), l.Name == labels.MetricName, len(l.Name) > frame.MaxName:
			return fmt.Errorf("name %.40q: %w", l.Name, ErrLabels)
		case l.Value == "", len(l.Value) > frame.MaxValue, !utf8.ValidString(l.Value):
			return fmt.Errorf("value of %q: %w", l.Name, ErrLabels)
		}
		return nil
	})
}

// findHost is called with writing or mu held.
func (d *Dictionary) findHost(ls labels.Labels) *host {
	for h := d.hosts[ls.Hash()]; h != nil; h = h.next {
		if h.is(ls) {
			return h
		}
	}
	return nil
}

func (h *host) is(ls labels.Labels) bool {
	i, same := 0, len(h.labels) == ls.Len()
	ls.Range(func(l labels.Label) {
		same = same && h.labels[i] == l
		i++
	})
	return same
}

// value is the host's value of the i-th name of its shape.
func (h *host) value(i int) string { return h.labels[i].Value }

// addHost is called with writing held.
func (d *Dictionary) addHost(ls labels.Labels) (*host, error) {
	h := &host{labels: make([]labels.Label, 0, ls.Len())}
	names := make([]string, 0, ls.Len())
	ls.Range(func(l labels.Label) {
		names = append(names, strings.Clone(l.Name))
		h.labels = append(h.labels, l)
	})
	sh := d.findShape(names)
	if sh == nil && len(d.shapes) >= maxShapes {
		return nil, &LimitError{"shapes", maxShapes}
	}
	hash := ls.Hash()
	d.mu.Lock()
	defer d.mu.Unlock()
	if sh == nil {
		sh = newShape(names)
		d.shapes = append(d.shapes, sh)
	}
	h.shape, h.hash, h.next = sh, hash, d.hosts[hash]
	d.hosts[hash] = h
	sh.hosts = append(sh.hosts, h)
	if n := len(sh.free); n > 0 {
		h.slot, sh.free = sh.free[n-1], sh.free[:n-1]
	} else {
		h.slot = sh.slots
		sh.slots++
	}
	for i := range h.labels {
		l := &h.labels[i]
		l.Name = sh.names[i]
		v := sh.values[i][l.Value]
		if v == nil {
			v = &hostValue{value: strings.Clone(l.Value)}
			sh.values[i][v.value] = v
		}
		l.Value = v.value
		v.hosts = append(v.hosts, h)
	}
	return h, nil
}

func (d *Dictionary) findShape(names []string) *shape {
	for _, sh := range d.shapes {
		if slices.Equal(sh.names, names) {
			return sh
		}
	}
	return nil
}

func newShape(names []string) *shape {
	sh := &shape{names: names, values: make([]map[string]*hostValue, len(names))}
	for i := range sh.values {
		sh.values[i] = map[string]*hostValue{}
	}
	return sh
}

// find returns which of the shape's names it is, -1 for none.
func (sh *shape) find(name string) int {
	for i, n := range sh.names {
		if n == name {
			return i
		}
	}
	return -1
}
