package store

import (
	"fmt"
	"strings"
	"testing"
)

// damagedStore is a store of which some rows are sealed and others not, with a ledger.
func damagedStore(t testing.TB, d *disk) map[string][]point {
	t.Helper()
	s := openOn(t, d)
	want := map[string][]point{}
	for worker := byte(1); worker <= 3; worker++ {
		session, sp := openSession(t, s, testSource(worker, 1)), newSpooler(t)
		sp.schema(1, gauge("g", "a"))
		key := fmt.Sprintf(`{__name__="g", dev="a", instance="host%d", job="node"}`, worker)
		for i := range 60 {
			sp.frame(1, after(i), float64(i*i))
			want[key] = append(want[key], point{At: int64(i), Value: float64(i * i)})
			send(t, session, sp.drain()...)
			if worker == 3 && i == 30 || worker == 2 && i == 59 {
				pass(t, s)
			}
		}
		sp.frame(1, after(-40*24*3600), 1) // too old: for the ledger
		send(t, session, sp.drain()...)
	}
	if err := s.ledger.Sync(); err != nil {
		t.Fatal(err)
	}
	wantDiff(t, "before", want, stored(t, s, anySeries()))
	closeStore(t, s)
	return want
}

// TestDamageCostsWhatItHit spoils each file of a store at many places. The store opens,
// nothing that it says is wrong, what is missing is of one host, and it is reported with
// the file and where in it.
func TestDamageCostsWhatItHit(t *testing.T) {
	d := newDisk(1)
	want := damagedStore(t, d)
	const places = 25
	for _, name := range d.Names() {
		content, _ := d.Content(name)
		for i := range places {
			at := i * len(content) / places
			for what, change := range map[string]func([]byte) []byte{
				"flipped": func(b []byte) []byte { b[at] ^= 0x20; return b },
				"cut":     func(b []byte) []byte { return b[:at] },
			} {
				stage := fmt.Sprintf("%s %s at %d of %d", name, what, at, len(content))
				hit := copied(d)
				hit.spoil(name, change)
				s, log := reported(t, hit)
				got, warnings := read(t, s, anySeries())
				text := log
				for _, w := range warnings {
					text += w.Error()
				}
				hosts := compareDamaged(t, stage, want, got)
				if what == "flipped" && hosts > 1 {
					t.Errorf("%s: %d hosts miss something", stage, hosts)
				}
				if what == "flipped" && hosts > 0 && !(strings.Contains(text, name) && strings.Contains(text, "offset")) {
					t.Errorf("%s: is not reported with file and offset:\n%s", stage, text)
				}
				// It goes on.
				session, sp := openSession(t, s, testSource(9, 1)), newSpooler(t)
				sp.schema(1, gauge("new", "a"))
				sp.frame(1, after(100), 1)
				send(t, session, sp.drain()...)
				awaitDurable(t, session, sp.seq)
				pass(t, s)
				fresh, _ := read(t, s, named("new")) // with a warning: who knows what was in the volume
				wantDiff(t, stage+": new series", points(100, 1), seriesOfDevice(t, fresh, "a"))
				again, _ := read(t, s, named("g"))
				compareDamaged(t, stage+", sealed", got, again)
				closeStore(t, s)
			}
		}
	}
}

// compareDamaged says of how many series something is missing. What is there must be right.
func compareDamaged(t *testing.T, stage string, want, got map[string][]point) (missing int) {
	t.Helper()
	for key, points := range got {
		right := map[point]bool{}
		for _, p := range want[key] {
			right[p] = true
		}
		for _, p := range points {
			if !right[p] {
				t.Errorf("%s: %s has %+v", stage, key, p)
			}
		}
	}
	for key, points := range want {
		if len(got[key]) < len(points) {
			missing++
		}
	}
	return missing
}
