package fleettest

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// TestOneProcess is the way from a token and from /proc to an answered query
// without programs, namespaces or root; everything that was started has ended
// afterwards.
func TestOneProcess(t *testing.T) {
	before := runtime.NumGoroutine()
	f := newInProcess(t, "w1", "w2")
	f.startServers()
	w1, w2 := f.machines["w1"], f.machines["w2"]
	for _, m := range []*machine{w1, w2} {
		m.join()
		m.start()
	}
	for _, m := range []*machine{w1, w2} {
		f.eventually(m.name+" is registered and its frames arrive", func() error {
			row, err := f.client.Worker(t.Context(), m.id())
			if err == nil && row.Instance != m.name {
				err = fmt.Errorf("got %+v", row)
			}
			if err == nil {
				err = isWorking(row)
			}
			return err
		})
	}
	want := memTotal(t)
	f.eventually("a query gives what /proc says", func() error {
		got, err := f.value(`node_memory_MemTotal_bytes{instance="w1"}`)
		if err == nil && got != want {
			err = fmt.Errorf("got %v bytes of memory, want %v as /proc/meminfo says", got, want)
		}
		return err
	})
	f.eventually("rounds go on", func() error {
		got, err := f.value(`changes(cloudless_sampler_rounds_total{instance="w2"}[1m])`)
		if err == nil && got < 3 {
			err = fmt.Errorf("%v rounds", got)
		}
		return err
	})
	f.eventually("the servers tell of themselves", func() error {
		if got, err := f.value(`cloudless_registry_members{job="coordinatord",instance="hq"}`); err != nil || got != 2 {
			return fmt.Errorf("members: %v, %w", got, err)
		}
		got, err := f.value(`cloudless_stream_streams{job="collectord",instance="hq"}`)
		if err == nil && got != 2 {
			err = fmt.Errorf("%v streams", got)
		}
		return err
	})

	f.stop("w1")
	f.stop("w2")
	f.stop(model.DaemonCollector)
	f.stop(model.DaemonCoordinator)
	f.disconnect()
	f.eventually("all goroutines end", func() error {
		if now := runtime.NumGoroutine(); now > before {
			stacks := make([]byte, 1<<20)
			return fmt.Errorf("%d goroutines, before there were %d:\n%s", now, before, stacks[:runtime.Stack(stacks, true)])
		}
		return nil
	})
	if said := f.log.String(); strings.Contains(said, "level=ERROR") || strings.Contains(said, "coordinator does not answer") {
		t.Errorf("something went wrong:\n%s", said)
	}
}
