package registry

import (
	"encoding/binary"
	"errors"
	"flag"
	"hash/crc32"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func fullWorker() Worker {
	return Worker{
		ID: testID(7), Instance: "web-2", State: model.Registered, Since: t0.Add(time.Millisecond),
		Host: hostNamed("web", "10.0.0.1"), Source: netip.MustParseAddr("fe80::1%eth0"), Version: "1.2.3",
		KeepAlive: lease, FirstSeen: t0.Add(-time.Hour), LastContact: t0.Add(time.Second), LeaseFrom: t0.Add(time.Second),
		Expirations: 3, RetriesLeft: 0, CoolDownUntil: t0.Add(time.Minute), Refusal: RefuseIdentity,
	}
}

func diffWorkers(want, got Worker) string {
	return cmp.Diff(want, got, cmp.AllowUnexported(Worker{}), cmpopts.EquateComparable(netip.Addr{}), cmpopts.EquateApproxTime(0))
}

func TestStoredWorker(t *testing.T) {
	for _, w := range []Worker{fullWorker(), {ID: testID(1), State: model.Probed, Since: t0, KeepAlive: lease, FirstSeen: t0, LastContact: t0, LeaseFrom: t0, RetriesLeft: 1}} {
		b, err := appendWorker([]byte("before"), &w)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseWorker(b[len("before"):])
		if err != nil {
			t.Fatal(err)
		}
		if diff := diffWorkers(w, got); diff != "" {
			t.Errorf("stored and read again (-want +got):\n%s", diff)
		}
	}
}

// The form on disk must not change without a new version.
func TestStoredWorkerGolden(t *testing.T) {
	w := fullWorker()
	got, err := appendWorker(nil, &w)
	if err != nil {
		t.Fatal(err)
	}
	golden := filepath.Join("testdata", "worker.v1")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("stored form (-want +got):\n%s", diff)
	}
}

func sealed(text string) []byte {
	b := binary.BigEndian.AppendUint32([]byte{valueVersion}, crc32.Checksum([]byte(text), crc32.MakeTable(crc32.Castagnoli)))
	return append(b, text...)
}

func TestDamagedValues(t *testing.T) {
	w := fullWorker()
	good, _ := appendWorker(nil, &w)
	text := string(good[valueHeader:])
	change := func(old, new string) []byte {
		if !strings.Contains(text, old) {
			t.Fatalf("%q is not in %s", old, text)
		}
		return sealed(strings.Replace(text, old, new, 1))
	}
	flipped := append([]byte(nil), good...)
	flipped[len(flipped)/2] ^= 4
	newer := append([]byte{valueVersion + 1}, good[1:]...)
	tests := []struct {
		name  string
		value []byte
		want  error
	}{
		{"nothing", nil, ErrDamaged},
		{"only a header", good[:4], ErrDamaged},
		{"cut off", good[:len(good)-1], ErrDamaged},
		{"a flipped bit", flipped, ErrDamaged},
		{"version 0", append([]byte{0}, good[1:]...), ErrDamaged},
		{"a newer version", newer, ErrNewerFormat},
		{"too long", make([]byte, maxValue+1), ErrDamaged},
		{"not JSON", sealed("hello"), ErrDamaged},
		{"no id", sealed("{}"), ErrDamaged},
		{"unknown state", change(`"registered"`, `"asleep"`), ErrDamaged},
		{"no state", change(`"state":"registered",`, ``), ErrDamaged},
		{"nameless member", change(`"web-2"`, `""`), ErrDamaged},
		{"strange name", change(`"web-2"`, `"a\"b"`), ErrDamaged},
		{"name of a stranger", change(`"registered"`, `"probed"`), ErrDamaged},
		{"no lease", change(`"keep_alive_ms":30000`, `"keep_alive_ms":0`), ErrDamaged},
		{"endless lease", change(`"keep_alive_ms":30000`, `"keep_alive_ms":9223372036854775807`), ErrDamaged},
		{"negative budget", change(`"retries_left":0`, `"retries_left":-1`), ErrDamaged},
		{"cool-down without end", change(`"cool_down_until_ms"`, `"x"`), ErrDamaged},
		{"time before 1970", change(`"first_seen_ms":`, `"first_seen_ms":-`), ErrDamaged},
		{"port out of range", change(`10300`, `103000`), ErrDamaged},
		{"long host name", change(`"hostname":"web"`, `"hostname":"`+strings.Repeat("x", 256)+`"`), ErrDamaged},
	}
	for _, test := range tests {
		if _, err := parseWorker(test.value); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
	later, err := parseWorker(change(`"identity_in_use"`, `"reason of an older release"`))
	if err != nil || later.Refusal != RefusePolicy {
		t.Errorf("unknown refusal: %v, %v", later.Refusal, err)
	}
}

func TestAnchor(t *testing.T) {
	p := testPolicy()
	for _, state := range []model.WorkerState{model.Registered, model.Suspect} {
		for _, period := range []time.Duration{30 * time.Second, time.Second, 1001 * time.Millisecond} {
			w := fullWorker()
			w.State, w.KeepAlive = state, period
			now := t0.Add(time.Hour)
			w.anchor(now, p)
			if w.State != model.Suspect || w.ExpiresAt() != now.Add(period/2) || w.SuspectAt().After(now) {
				t.Errorf("%v with a lease of %v: %v, expires in %v", state, period, w.State, w.ExpiresAt().Sub(now))
			}
			if want := t0.Add(time.Second); !w.LastContact.Equal(want) {
				t.Errorf("last contact %v, want %v", w.LastContact, want)
			}
		}
	}
	// The clock was set back by a day since: nothing lies in the future.
	w := fullWorker()
	now := t0.Add(-24 * time.Hour)
	w.anchor(now, p)
	if w.LastContact != now || w.FirstSeen != now || w.CoolDownUntil != now.Add(p.CoolDown) {
		t.Errorf("last contact %v, first seen %v, cool-down until %v at %v", w.LastContact, w.FirstSeen, w.CoolDownUntil, now)
	}
	for _, state := range []model.WorkerState{model.Expired, model.Left} {
		w := fullWorker()
		w.State = state
		w.anchor(t0.Add(time.Hour), p)
		if w.State != state || !w.Since.Equal(t0.Add(time.Millisecond)) {
			t.Errorf("%v became %v since %v", state, w.State, w.Since)
		}
	}
}

// FuzzDecodeWorker: any bytes are a worker that is stored as it was read, or an
// error of a known kind.
func FuzzDecodeWorker(f *testing.F) {
	w := fullWorker()
	good, _ := appendWorker(nil, &w)
	f.Add(good)
	f.Add(good[:len(good)-2])
	f.Add(sealed(`{"id":"00000100-0000-0000-0000-000000000001","state":"probed","keep_alive_ms":1,"retries_left":1}`))
	f.Add([]byte{2, 0, 0, 0, 0, '{', '}'})
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, value := range [][]byte{b, sealed(string(b))} { // past the checksum, too
			w, err := parseWorker(value)
			if err != nil {
				if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNewerFormat) {
					t.Fatalf("error of no known kind: %v", err)
				}
				continue
			}
			again, err := appendWorker(nil, &w)
			if err != nil {
				t.Fatalf("cannot store what was read: %v", err)
			}
			w2, err := parseWorker(again)
			if err != nil {
				t.Fatalf("cannot read what was stored: %v\n%s", err, again)
			}
			if diff := diffWorkers(w, w2); diff != "" {
				t.Fatalf("stored and read again:\n%s", diff)
			}
			w.anchor(t0, testPolicy())
			Next(w, Deadline{}, t0, testPolicy())
		}
	})
}
