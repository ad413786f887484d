package fleettest

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// TestARefusedWorkerCountsDownAndComesBack lets two workers ask for one place:
// the second uses up its attempts, gives up for a while, and gets in when
// there is room.
func TestARefusedWorkerCountsDownAndComesBack(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10.77.3.0/24", "w1", "w2")
	const small = "[registry]\nmax_workers = 1\nretry_limit = 2\ncool_down = \"1s\"\n"
	f.write("small.toml", f.read(settings(f.hq, "coordinatord"))+small)
	w1, w2 := f.workers[0], f.workers[1]
	f.write(settings(w2, "workerd"), f.read(settings(w2, "workerd"))+"cool_down = \"2s\"\n") // ends in [registration]
	f.startWith(f.hq, "coordinatord", "small.toml")
	f.tokens(w1, w2)
	f.start(f.hq, "collectord")
	f.start(w1, "workerd")
	f.eventually(2*probeInterval+3*slack, "the first worker is in", f.inState(model.Registered, "w1"))

	second := f.start(w2, "workerd")
	f.eventually(4*probeInterval+slack, "the second worker has no attempt left", func() error {
		return second.said("state=REGISTER_FAILED", `message="fleet is full"`, "retries_left=0")
	})
	if err := second.said("state=INITIALIZED", "retries_left=1"); err != nil {
		t.Errorf("the budget was not counted down: %v", err)
	}
	if workers, err := f.listed(); err != nil || len(workers) != 1 {
		t.Errorf("%d workers are listed, %v; want the one that was let in", len(workers), err)
	}

	f.restart(f.hq, "coordinatord")
	f.eventually(2*time.Second+2*probeInterval+2*slack, "the second worker is in after its cool-down", f.inState(model.Registered, "w1", "w2"))
	f.eventually(2*slack, "frames of both arrive", f.flowing("w1", "w2"))
}

func (f *fleet) read(name string) string {
	f.t.Helper()
	text, err := os.ReadFile(f.path(name))
	if err != nil {
		f.t.Fatal(err)
	}
	return string(text)
}

// said looks for a line of the log that holds all of the texts.
func (d *daemon) said(texts ...string) error {
	text, err := os.ReadFile(d.log)
	if err != nil {
		return err
	}
	for line := range strings.Lines(string(text)) {
		all := true
		for _, want := range texts {
			all = all && strings.Contains(line, want)
		}
		if all {
			return nil
		}
	}
	return fmt.Errorf("no line of %s has %q", d.log, texts)
}
