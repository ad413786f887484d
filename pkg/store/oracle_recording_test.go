package store_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/frame/frametest"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// recorded gives the store a recording as several hosts, which end about now: collectors that
// change seldom in a stream of their own. Some of it comes late.
func recorded(d *driver, r *frametest.Recording, hosts int, c chooser) {
	l := layouts{}
	fleet := frametest.NewFleet(r)
	s := &script{chooser: c, driver: d}
	seldom := map[string]bool{"filesystem": true, "uname": true, "os": true, "boot": true, "memory": true, "zoneinfo": true}
	var fast, slow []model.Part
	var columns [2][]int
	column := 0
	for _, p := range r.Parts {
		into := 0
		if seldom[p.Collector] {
			slow, into = append(slow, p), 1
		} else {
			fast = append(fast, p)
		}
		for range p.Columns() {
			columns[into] = append(columns[into], column)
			column++
		}
	}
	of := [2]*layout{l.of(d.tb, fast...), l.of(d.tb, slow...)}
	span := r.Every * model.Millis(len(r.Rows))
	for i := range hosts {
		w := d.worker(fmt.Sprintf("host%02d", i))
		b := newBoot(model.BootIDFrom([16]byte{2, byte(i)}))
		h := fleet.Host(uint64(i))
		for n := range len(r.Rows) {
			at, row := h.Next()
			at += now() - r.Start - span
			for k := range of {
				if k > 0 && n%3 > 0 {
					continue
				}
				values := make([]float64, len(columns[k]))
				for i, column := range columns[k] {
					values[i] = row[column]
				}
				b.row(model.StreamID(k+1), at, of[k], values, 60)
			}
		}
		s.spool(fleet0(span), w, b, now()-span, now())
	}
	s.run(25)
}

// fleet0 is one whose data is of the last so many milliseconds.
func fleet0(span model.Millis) fleet { return fleet{from: now() - span, to: now()} }

// TestOracleOfARecording asks a store and Prometheus the same, of a recording of a real host.
func TestOracleOfARecording(t *testing.T) {
	t.Parallel()
	r, err := frametest.Node()
	if err != nil {
		t.Fatal(err)
	}
	every, hosts := 10, 3
	if *more {
		every, hosts = 1, 8
	}
	d := newDriver(t)
	recorded(d, r.Thin(every), hosts, rand.New(rand.NewPCG(1, 1)))
	o := newOracle(t, d)
	asked := expressions(t, "expressions.txt")
	o.stages(func(stage string, n int) {
		for i, expr := range asked {
			if o.turn(n, i) {
				o.recently(stage, expr, n+i)
			}
		}
	})
}

// recently asks an expression of the last ten minutes.
func (o *oracle) recently(stage, expr string, turn int) {
	o.tb.Helper()
	end := now()
	if turn%2 == 0 || *more {
		o.compare(stage, question{expr: expr, from: end - 5*minute + model.Millis(turn*777)})
	}
	if turn%4 == 1 || *more {
		o.compare(stage, question{expr: expr, from: end - 8*minute, to: end + minute, step: one(numbered(turn/4), 30*second, minute, 17*second)})
	}
}

// numbered chooses always the same.
type numbered int

// IntN implements chooser.
func (n numbered) IntN(of int) int { return int(n) % of }
