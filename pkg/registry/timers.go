package registry

// slot numbers an entry of the registry while it is known.
type slot int32

// timers is a min-heap of deadlines, at most one for each slot. Setting and
// removing costs O(log n). The positions lie in an array of their own, so that
// moving a timer touches no entry: with 100,000 of them the entries do not fit
// the processor's cache, the positions do. Not safe for concurrent use.
type timers struct {
	heap []timer
	pos  []int32 // index in heap by slot, or unarmed
}

// timer is one deadline, in nanoseconds of the registry's clock.
type timer struct {
	at   int64
	slot slot
}

const (
	unarmed = -1
	arity   = 4 // flatter than a binary heap: fewer cache lines on the way down
)

// next is the earliest timer.
func (t *timers) next() (timer, bool) {
	if len(t.heap) == 0 {
		return timer{}, false
	}
	return t.heap[0], true
}

// set arms or moves the timer of s.
func (t *timers) set(s slot, at int64) {
	for int(s) >= len(t.pos) {
		t.pos = append(t.pos, unarmed)
	}
	i := int(t.pos[s])
	if i == unarmed {
		i = len(t.heap)
		t.heap = append(t.heap, timer{})
	}
	t.fix(i, timer{at: at, slot: s})
}

// remove disarms the timer of s, if there is one.
func (t *timers) remove(s slot) {
	if int(s) >= len(t.pos) || t.pos[s] == unarmed {
		return
	}
	i, last := int(t.pos[s]), len(t.heap)-1
	t.pos[s] = unarmed
	moved := t.heap[last]
	t.heap = t.heap[:last]
	if i < last {
		t.fix(i, moved)
	}
}

// fix puts v where it belongs, starting from the hole at i.
func (t *timers) fix(i int, v timer) {
	for i > 0 {
		parent := (i - 1) / arity
		if t.heap[parent].at <= v.at {
			break
		}
		t.put(i, t.heap[parent])
		i = parent
	}
	for {
		child := i*arity + 1
		if child >= len(t.heap) {
			break
		}
		for c := child + 1; c < min(i*arity+1+arity, len(t.heap)); c++ {
			if t.heap[c].at < t.heap[child].at {
				child = c
			}
		}
		if t.heap[child].at >= v.at {
			break
		}
		t.put(i, t.heap[child])
		i = child
	}
	t.put(i, v)
}

func (t *timers) put(i int, v timer) {
	t.heap[i] = v
	t.pos[v.slot] = int32(i)
}
