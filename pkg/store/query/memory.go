package query

import (
	"sync"
)

// pools keeps what queries need again and again.
type pools struct {
	floats, ints sync.Pool // of *[]float64 and *[]int64, slabSize long
	loaders      sync.Pool // of *loader
}

func (p *pools) takeLoader() *loader {
	if l, ok := p.loaders.Get().(*loader); ok {
		return l
	}
	return new(loader)
}

// memory holds the samples of a query, and is given back as a whole. It is for one
// goroutine.
type memory struct {
	values slabs[float64]
	times  slabs[int64]
}

// newMemory makes a memory whose slabs come from pools, or from the heap when it is nil.
func newMemory(p *pools) *memory {
	m := new(memory)
	if p != nil {
		m.values.pool, m.times.pool = &p.floats, &p.ints
	}
	return m
}

func (m *memory) release() {
	m.values.release(0)
	m.times.release(0)
}

// mark is a state of memory to which it can go back.
type mark struct {
	values, times int
	freeValues    []float64
	freeTimes     []int64
}

func (m *memory) mark() mark {
	return mark{len(m.values.all), len(m.times.all), m.values.free, m.times.free}
}

// back gives up what was taken since the mark.
func (m *memory) back(to mark) {
	m.values.release(to.values)
	m.times.release(to.times)
	m.values.free, m.times.free = to.freeValues, to.freeTimes
}

// slabSize is in elements: 256 KiB.
const slabSize = 1 << 15

// slabs gives out slices of large ones.
type slabs[T int64 | float64] struct {
	pool *sync.Pool
	all  []*[]T
	free []T // of the newest
}

// take returns n elements, whatever they are.
func (s *slabs[T]) take(n int) []T {
	if n > len(s.free) {
		if n > slabSize/4 || s.pool == nil {
			return make([]T, n)
		}
		slab, ok := s.pool.Get().(*[]T)
		if !ok {
			fresh := make([]T, slabSize)
			slab = &fresh
		}
		s.all = append(s.all, slab)
		s.free = *slab
	}
	taken := s.free[:n:n]
	s.free = s.free[n:]
	return taken
}

func (s *slabs[T]) copy(of []T) []T {
	taken := s.take(len(of))
	copy(taken, of)
	return taken
}

// release keeps the oldest slabs.
func (s *slabs[T]) release(keep int) {
	for _, slab := range s.all[keep:] {
		s.pool.Put(slab)
	}
	clear(s.all[keep:])
	s.all, s.free = s.all[:keep], nil
}
