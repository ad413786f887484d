package crash

import (
	"flag"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
)

var (
	seeds    = flag.Int("seeds", 100, "how many lives TestLives leads")
	first    = flag.Uint64("first", 0, "the first of them")
	strictly = flag.String("strict", "", "what is demanded besides that is known to fail: everyTimeCovered or nothingTwice")
	seed     = flag.Int64("seed", -1, "the only one to lead, and to tell all about")
)

// lines is how much of a story is told of a life that ends badly.
const lines = 60

func TestLives(t *testing.T) {
	if *seed >= 0 {
		lead(t, uint64(*seed), true, strict(*strictly))
		return
	}
	n := *seeds
	if testing.Short() {
		n = min(n, 10)
	}
	for i := range n {
		t.Run(fmt.Sprint(*first+uint64(i)), func(t *testing.T) {
			t.Parallel()
			lead(t, *first+uint64(i), false, strict(*strictly))
		})
	}
}

func lead(t *testing.T, seed uint64, loud bool, more strict) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, seed, loud)
		l.strict = more
		defer func() {
			if !t.Failed() && !loud {
				return
			}
			story := l.story
			if !loud && len(story) > lines {
				story = story[len(story)-lines:]
			}
			t.Logf("%s\nagain: go test ./pkg/fleettest/crash -run TestLives -seed %d -v", strings.Join(story, "\n"), seed)
		}()
		l.lead()
	})
}
