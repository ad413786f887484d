package ctl

import (
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
)

func TestWorkers(t *testing.T) {
	fleet := newFleet(t)
	s := fleet.transcript(t)
	s.remark("an empty fleet")
	fleet.fleet = api.Fleet{Now: 1_800_000_000_000, Workers: []api.Worker{}}
	s.run("workers", "--config", fleet.config)
	s.run("workers", "--config", fleet.config, "--output", "json")
	s.remark("three workers, one of them on two machines")
	fleet.fleet = threeWorkers()
	s.run("workers", "--config", fleet.config)
	s.run("workers", "--config", fleet.config, "--output", "json")
	s.remark("what nobody has is not shown")
	for i := range fleet.fleet.Workers {
		row := &fleet.fleet.Workers[i]
		row.Conflict, row.ClockOffset, row.Labels = false, 40, nil
	}
	s.run("workers", "--config", fleet.config)
	s.golden("workers.golden")
}

func TestAges(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-1: "-", 0: "0.0s", 949 * time.Millisecond: "0.9s", 9949 * time.Millisecond: "9.9s", 9990 * time.Millisecond: "10s",
		10 * time.Second: "10s", 59400 * time.Millisecond: "59s", 59900 * time.Millisecond: "1m00s", time.Minute: "1m00s",
		61 * time.Second: "1m01s", 59*time.Minute + 59*time.Second: "59m59s", time.Hour: "1h00m",
		47*time.Hour + 59*time.Minute: "47h59m", 48 * time.Hour: "2d", 400 * 24 * time.Hour: "400d",
	} {
		if got := age(d); got != want {
			t.Errorf("age of %v: got %s, want %s", d, got, want)
		}
	}
}
