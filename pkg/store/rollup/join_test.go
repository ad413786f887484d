package rollup

import (
	"math/rand/v2"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// lanes are the rows of a series in two lanes: of each its times, and values that may be absent.
type lanes [2]struct {
	t []int64
	v []float64
}

// newLanes makes lanes whose samples stand apart most of the time.
func newLanes(r *rand.Rand) (l lanes) {
	turn, value := 0, 0.0
	at := int64(1_700_000_000_000)
	for range 400 {
		at += 1 + r.Int64N(25_000)
		if r.IntN(25) == 0 {
			turn = r.IntN(4)
		}
		for lane := range l {
			if r.IntN(6) == 0 {
				continue
			}
			v := model.Absent()
			if turn == lane || turn == 2 && r.IntN(9) == 0 {
				if value += float64(r.IntN(9)); r.IntN(30) == 0 {
					value = 0
				}
				v = value
			}
			l[lane].t, l[lane].v = append(l[lane].t, at+int64(lane)), append(l[lane].v, v)
		}
	}
	return l
}

// series merges the lanes as the rules of the store say.
func (l lanes) series() (t []int64, v []float64) {
	live := [2]bool{}
	next := [2]int{}
	for {
		lane := -1
		for i := range l {
			if next[i] < len(l[i].t) && (lane < 0 || l[i].t[next[i]] < l[lane].t[next[lane]]) {
				lane = i
			}
		}
		if lane < 0 {
			return t, v
		}
		at, x := l[lane].t[next[lane]], l[lane].v[next[lane]]
		next[lane]++
		was := live[lane]
		if live[lane] = !model.IsAbsent(x); live[lane] || was && !live[1-lane] {
			t, v = append(t, at), append(v, x)
		}
	}
}

// buckets are those of one lane.
func (l lanes) buckets(tier Tier, lane int) (list []Bucket) {
	live := false
	var t []int64
	var v []float64
	for i, at := range l[lane].t {
		absent := model.IsAbsent(l[lane].v[i])
		if !absent || live {
			t, v = append(t, at), append(v, l[lane].v[i])
		}
		live = !absent
	}
	samples := Fold(nil, tier, t, v)
	for _, at := range l[lane].t {
		end := tier.End(model.Millis(at))
		if n := len(list); n > 0 && list[n-1].At == end {
			list[n-1].To = model.Millis(at)
			continue
		}
		b := Bucket{At: end, From: model.Millis(at), To: model.Millis(at)}
		for _, s := range samples {
			if s.At == end {
				from := b.From
				if b = s; s.Count > 0 {
					b.From = from
				}
			}
		}
		list = append(list, b)
	}
	return list
}

func TestJoinedLanesGiveTheSameSamples(t *testing.T) {
	var e Emitter
	joined, between := 0, 0
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 5))
		l := newLanes(r)
		t0, v0 := l.series()
		for _, tier := range []Tier{Minute, Hour} {
			got, apart := Join(nil, l.buckets(tier, 0), l.buckets(tier, 1))
			if !apart {
				between++
				continue
			}
			joined++
			want := Fold(nil, tier, t0, v0)
			p := Plan{Tier: tier}
			gotT, gotV, _ := e.Emit(nil, nil, &p, got)
			wantT, wantV, _ := e.Emit(nil, nil, &p, want)
			if len(gotT) != len(wantT) {
				t.Fatalf("seed %d, %v: got %d samples, want %d\n%v\n%v", seed, tier, len(gotT), len(wantT), gotT, wantT)
			}
			for i := range gotT {
				if gotT[i] != wantT[i] || !same(gotV[i], wantV[i]) {
					t.Fatalf("seed %d, %v: sample %d: got %v at %d, want %v at %d", seed, tier, i, gotV[i], gotT[i], wantV[i], wantT[i])
				}
			}
			i := 0
			for _, w := range want {
				for got[i].At < w.At {
					i++
				}
				if w.Count > 0 && !alike(&got[i], &w) {
					t.Fatalf("seed %d, %v: got %+v\nwant %+v", seed, tier, got[i], w)
				}
			}
		}
	}
	t.Logf("%d joined, %d between each other", joined, between)
	if joined < 100 || between < 20 {
		t.Errorf("%d joined, %d between each other: the test tests nothing", joined, between)
	}
}
