package rollup

import (
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestBucketsSayWhatTheRowsSay(t *testing.T) {
	reader := NewReader()
	for seed := range fewer(48) {
		r := rand.New(rand.NewPCG(seed, 1))
		every := []int64{1000, 5000, 15_000, 60_000, 700}[r.IntN(5)]
		w := newWorld(r, 1_700_000_000_000+int64Millis(r.IntN(100_000)), int64Millis(int(every)), 300+r.IntN(2000))
		for _, tier := range []Tier{Minute, Hour} {
			blocks := w.build(t, tier, 1+r.IntN(len(w.rows)))
			for part := range w.parts {
				for c := range scales {
					got := buckets(t, reader, tier, blocks, w.parts[part].ID, c)
					times, values := w.series(part, c)
					want := Fold(nil, tier, times, values)
					compare(t, got, want)
					if t.Failed() {
						t.Fatalf("seed %d, tier %v, part %d, column %d", seed, tier, part, c)
					}
				}
			}
		}
	}
}

// compare judges buckets of a lane by those of the samples alone.
func compare(t *testing.T, got, want []Bucket) {
	t.Helper()
	live := false
	for i := range got {
		g := &got[i]
		if len(want) > 0 && want[0].At == g.At {
			w := &want[0]
			want = want[1:]
			if w.Count == 0 {
				// A marker, which must be where the lane's first row is.
				if g.Count != 0 || g.From != w.From {
					t.Errorf("got %+v, want marker %+v", g, w)
				}
				live = false
				continue
			}
			if !alike(g, w) {
				t.Errorf("got %+v\nwant %+v\n%s", *g, *w, cmp.Diff(*g, *w))
			}
			if g.Whole && !w.Whole {
				t.Errorf("got whole: %+v", g)
			}
			live = !g.Stale
			continue
		}
		if g.Count != 0 || live {
			t.Errorf("got %+v, want nothing there", g)
		}
	}
	if len(want) > 0 {
		t.Errorf("lacks %+v", want[0])
	}
}
