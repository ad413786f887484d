package ctl

import (
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/event"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func someGaps() api.Gaps {
	const now model.Millis = 1_800_000_000_000
	gap := func(instance string, cause event.Cause, from, to model.Millis, frames uint64) api.Gap {
		g := api.Gap{Worker: model.WorkerIDFrom([16]byte{7}), Instance: instance, Cause: cause, Text: cause.Text(), Frames: frames, Samples: 500 * frames}
		g.SetTimes(from, to)
		return g
	}
	merged := gap("web1", event.SpoolFull, now-80_000_000, now-40_000_000, 36000)
	merged.Merged = 12
	full := gap("web1", event.SpoolFull, now-3_600_000, now-3_540_000, 60)
	full.Text += ": 256MiB are used"
	silent := gap("web\x1b[2J", event.Unreachable, now-90_500, now, 0)
	silent.Open = true
	return api.Gaps{Now: now, Gaps: []api.Gap{merged, gap("", event.HostOff, now-4_000_000, now-3_700_000, 0), full, silent},
		Totals: []api.GapTotal{{Cause: event.HostOff, Gaps: 1}, {Cause: event.SpoolFull, Gaps: 13, Frames: 36060, Samples: 18030000}}}
}

func TestGaps(t *testing.T) {
	fleet := newFleet(t)
	s := fleet.transcript(t)
	s.heard = nil // --since is relative to now
	s.remark("nothing is missing")
	fleet.script("GET "+api.PathFleetGaps, api.Gaps{Gaps: []api.Gap{}, Totals: []api.GapTotal{}})
	s.run("gaps", "--config", fleet.config)
	s.run("gaps", "--config", fleet.config, "--since", "2026-01-31T12:00:00Z", "web1")
	s.run("gaps", "--config", fleet.config, "--since", "", "--cause", "host_off,spool_full", "web1")
	s.run("gaps", "--config", fleet.config, "--output", "json")
	s.remark("much is missing")
	found := someGaps()
	fleet.script("GET "+api.PathFleetGaps, found)
	s.run("gaps", "--config", fleet.config)
	s.run("gaps", "--config", fleet.config, "--output", "json")
	s.remark("what was not sampled is not lost")
	found.Gaps, found.Totals = found.Gaps[1:2], found.Totals[:1]
	fleet.script("GET "+api.PathFleetGaps, found)
	s.run("gaps", "--config", fleet.config, "web2")
	s.remark("there is more")
	found.More = true
	fleet.script("GET "+api.PathFleetGaps, found)
	s.run("gaps", "--config", fleet.config, "--limit", "1")
	s.remark("nobody has that name")
	fleet.refuse("GET "+api.PathFleetGaps, 404, "not_found", "no worker is called web9")
	s.run("gaps", "--config", fleet.config, "web9")
	s.remark("what is asked")
	fleet.script("GET "+api.PathFleetGaps, api.Gaps{})
	s.heard = fleet.transcript(t).heard
	s.heard() // what was asked before
	s.run("gaps", "--config", fleet.config, "--since", "1800000000.5", "--cause", "host_off", "--cause", "new_one, other", "--limit", "5", "web 1")
	s.remark("wrong usage")
	s.heard = nil
	s.run("gaps", "web1", "web2")
	s.run("gaps", "--limit", "0")
	s.run("gaps", "--cause", "Host off")
	s.run("gaps", "--since", "yesterday")
	s.golden("gaps.golden")
}
