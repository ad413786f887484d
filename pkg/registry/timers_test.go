package registry

import (
	"math/rand/v2"
	"testing"
)

// The heap is compared with a plain map through random operations.
func TestTimersAgainstMap(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var heap timers
	want := map[slot]int64{}
	for i := range 20_000 {
		s := slot(random.IntN(300))
		switch random.IntN(4) {
		case 0:
			heap.remove(s)
			delete(want, s)
		default:
			at := int64(random.IntN(1000))
			heap.set(s, at)
			want[s] = at
		}
		earliest := int64(never)
		for _, at := range want {
			earliest = min(earliest, at)
		}
		got, ok := heap.next()
		if ok != (len(want) > 0) || ok && (got.at != earliest || want[got.slot] != earliest) {
			t.Fatalf("operation %d: next %+v %v, want %d of %d timers", i, got, ok, earliest, len(want))
		}
	}
	last := int64(-1)
	for len(want) > 0 {
		got, ok := heap.next()
		if !ok || got.at < last || want[got.slot] != got.at {
			t.Fatalf("draining: %+v %v after %d, want %d", got, ok, last, want[got.slot])
		}
		last = got.at
		heap.remove(got.slot)
		delete(want, got.slot)
	}
	if _, ok := heap.next(); ok {
		t.Error("empty heap has a timer")
	}
}
