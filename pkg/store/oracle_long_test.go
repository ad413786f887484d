package store_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// days makes a few hosts with days of data, sealed several times a day. The last hours
// are still in the journal.
func days(d *driver, hosts int, span model.Millis, c chooser) {
	s := &script{chooser: c, driver: d}
	l := layouts{}
	from := now() - span
	for i := range hosts {
		h := newHost(d.tb, c, l, fmt.Sprintf("host%02d", i))
		h.machine.cores, h.machine.handlers, h.machine.sensors = 1, []string{"/"}, []string{"a"}
		h.rates = []rate{
			{stream: 1, every: one(numbered(i), 15*second, minute, 30*second), parts: []string{"load", "hwmon"}},
			{stream: 2, every: minute, parts: []string{"cpu", "network", "container"}},
			{stream: 3, every: one(numbered(i), minute, 40*second), parts: []string{"stat", "memory"}},
			{stream: 4, every: 5 * minute, parts: []string{"http", "filesystem"}},
		}
		w := d.worker(h.machine.name)
		for n, at := 0, from; at < now(); n++ {
			end := min(now(), at+6*hour+model.Millis(c.IntN(int(span)/2)))
			b := newBoot(model.BootIDFrom([16]byte{2, byte(i), byte(n)}))
			h.measure(b, at, end, 800)
			s.spool(fleet0(span), w, b, at, end)
			at = end + one(c, 15*second, minute, hour, 5*hour)
			if in(c, 2) {
				h.reboot()
			}
			if in(c, 2) {
				s.steps = append(s.steps, step{end + minute, func() { d.stale(w, end+minute) }})
			}
		}
	}
	for at := from + 7*hour; at < now()-hour; at += 9 * hour {
		s.steps = append(s.steps, step{at, d.pass})
	}
	s.run(0)
}

// TestOracleOfDays asks for long ranges by wide steps, which rollups may answer.
func TestOracleOfDays(t *testing.T) {
	t.Parallel()
	hosts, span := 2, 40*hour
	if *more {
		hosts, span = 5, 100*hour
	}
	d := newDriver(t)
	days(d, hosts, span, rand.New(rand.NewPCG(7, 7)))
	o := newOracle(t, d)
	end := now()
	asked := expressions(t, "long.txt")
	o.stages(func(stage string, n int) {
		for i, expr := range asked {
			for k, q := range []question{
				{from: end - span, to: end, step: hour},
				{from: end - 30*hour, to: end - 20*hour, step: 5 * minute},
				{from: end - 4*hour, to: end + hour, step: minute},
				{from: end - 12*hour, to: end, step: 10 * minute},
				{from: end - 20*hour - 2*hour, to: end - 20*hour, step: minute},
				{from: end - 9*hour + 30*second, to: end, step: 5 * minute},
				{from: end - 9*hour + 1, to: end - 7*hour, step: 77 * second},
				{from: end - 5*hour},
				{from: end - 11*hour + 11*minute},
			} {
				if q.expr = expr; (i+k+2*n)%9 < 3 && o.turn(n, i+k) || *more {
					o.compare(stage, q)
				}
			}
		}
	})
	o.expectAnswers(asked)
}
