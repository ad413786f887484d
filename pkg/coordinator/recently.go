package coordinator

import (
	"maps"
	"sync"
	"time"
)

// recently remembers what was told lately, so that it is told once. It is bounded:
// when it is full it forgets everything, and tells once more. Safe for concurrent
// use.
type recently struct {
	keep time.Duration
	most int

	mu sync.Mutex // guards at
	at map[string]time.Time
}

func newRecently(keep time.Duration, most int) *recently {
	return &recently{keep: keep, most: most, at: map[string]time.Time{}}
}

// first reports whether key is news. With again, what is repeated within the time
// stays old for another one.
func (r *recently) first(key string, now time.Time, again bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, known := r.at[key]
	known = known && now.Sub(last) < r.keep && !now.Before(last)
	if known && !again {
		return false
	}
	if !known && len(r.at) >= r.most {
		maps.DeleteFunc(r.at, func(_ string, at time.Time) bool { return now.Sub(at) >= r.keep })
		if len(r.at) >= r.most {
			clear(r.at)
		}
	}
	r.at[key] = now
	return !known
}
