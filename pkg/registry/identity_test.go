package registry

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Machines are written name@address; a script is a list of "seconds machine".
func TestIdentity(t *testing.T) {
	tests := []struct {
		name   string
		script string
		shown  string // host name and source shown after each ProbeAck
		rival  string // at the end; "" for none heard within the window
		turns  uint64 // noticed turns
		now    bool   // conflict at the end
	}{
		{name: "one machine", script: "0 a@1, 10 a@1, 20 a@1", shown: "a@1 a@1 a@1"},
		{name: "renamed after long", script: "0 a@1, 100 b@1, 110 b@1", shown: "a@1 b@1 b@1"},
		{name: "renamed at once", script: "0 a@1, 10 b@1, 20 b@1, 30 b@1", shown: "a@1 a@1 a@1 b@1"},
		{name: "re-addressed", script: "0 a@1, 100 a@2, 200 a@3", shown: "a@1 a@2 a@3"},
		{name: "two addresses do not flap", script: "0 a@1, 30 a@2, 40 a@1, 50 a@2, 60 a@1", shown: "a@1 a@2 a@2 a@2 a@1"},
		{name: "moved for good", script: "0 a@1, 100 b@2, 110 b@2, 120 b@2", shown: "a@1 b@2 b@2 b@2"},
		{name: "moved soon after its start", script: "0 a@1, 10 b@2, 20 b@2, 30 b@2, 40 b@2", shown: "a@1 a@1 a@1 b@2 b@2"},
		{name: "a clone takes turns", script: "0 a@1, 5 b@2, 10 a@1, 15 b@2, 20 a@1, 25 b@2, 40 a@1, 45 b@2",
			shown: "a@1 a@1 a@1 a@1 a@1 a@1 a@1 a@1", rival: "b@2", turns: 6, now: true},
		{name: "a clone appears later", script: "0 a@1, 100 a@1, 105 b@2, 110 a@1, 115 b@2, 120 a@1, 125 b@2",
			shown: "a@1 a@1 b@2 b@2 b@2 b@2 b@2", rival: "a@1", turns: 4, now: true},
		{name: "the clone is switched off", script: "0 a@1, 5 b@2, 10 a@1, 15 b@2, 20 a@1, 40 a@1, 50 a@1",
			shown: "a@1 a@1 a@1 a@1 a@1 a@1 a@1", turns: 3},
		{name: "the shown machine is switched off", script: "0 a@1, 5 b@2, 10 a@1, 15 b@2, 25 b@2, 35 b@2, 45 b@2",
			shown: "a@1 a@1 a@1 a@1 a@1 a@1 b@2", rival: "a@1", turns: 2},
		{name: "turns slower than the window are none", script: "0 a@1, 40 b@2, 80 a@1, 120 b@2", shown: "a@1 b@2 a@1 b@2", rival: "a@1"},
		{name: "a third one", script: "0 a@1, 5 b@2, 10 a@1, 12 c@3, 14 b@2", shown: "a@1 a@1 a@1 a@1 a@1", rival: "b@2", turns: 1, now: true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := testPolicy()
			w := NewWorker(testID(1), t0, p)
			var shown []string
			active := false
			for _, line := range strings.Split(test.script, ", ") {
				var seconds int
				var machine string
				fmt.Sscan(line, &seconds, &machine)
				name, addr, _ := strings.Cut(machine, "@")
				e := ask(Admit)
				e.Host, e.Source = hostNamed(name, "10.0.0."+addr), netip.MustParseAddr("10.0.0."+addr)
				if name == "a" {
					e.Host.Addr = netip.Addr{} // so that a@1 and a@2 differ in their source only
				}
				var actions []Action
				w, actions = Next(w, e, t0.Add(time.Duration(seconds)*time.Second), p)
				shown = append(shown, machineOf(w.Host, w.Source))
				for _, action := range actions {
					if change, ok := action.(ConflictChanged); ok {
						if change.Active == active {
							t.Errorf("at %q: conflict %v twice", line, active)
						}
						active = change.Active
					}
				}
				if active != w.Conflict {
					t.Errorf("at %q: conflict %v, announced %v", line, w.Conflict, active)
				}
			}
			if got := strings.Join(shown, " "); got != test.shown {
				t.Errorf("shown %q, want %q", got, test.shown)
			}
			rival := ""
			if w.Rival != nil {
				rival = machineOf(w.Rival.Host, w.Rival.Source)
			}
			if rival != test.rival || w.Conflicts != test.turns || w.Conflict != test.now {
				t.Errorf("rival %q, %d turns, conflict %v; want %q, %d, %v", rival, w.Conflicts, w.Conflict, test.rival, test.turns, test.now)
			}
		})
	}
}

func machineOf(host model.HostInfo, source netip.Addr) string {
	return host.Hostname + "@" + source.String()[strings.LastIndex(source.String(), ".")+1:]
}
