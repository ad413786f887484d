package token

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func record(t testing.TB, made Token, uses int) Record {
	t.Helper()
	r, err := NewRecord(made, time.Hour, uses, map[string]string{"rack": "b 7"}, noon())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func claim(made Token, machine byte) Claim {
	message := []byte{'m', machine}
	return Claim{Token: made.ID, Message: message, Proof: made.Prove(message), Key: trust.Fingerprint{machine}}
}

func TestRedeemStory(t *testing.T) {
	made := newToken(t)
	r := record(t, made, 2)
	for i, step := range []struct {
		machine byte
		after   time.Duration
		want    Verdict
		left    int
	}{
		{1, 0, Admitted, 1},
		{1, time.Second, Repeated, 1}, // its answer was lost
		{2, 59 * time.Minute, Admitted, 0},
		{3, 59 * time.Minute, UsedUp, 0},
		{2, 59 * time.Minute, Repeated, 0},
		{1, time.Hour - 1, Repeated, 0},
		{1, time.Hour, Expired, 0},
		{3, time.Hour, Expired, 0},
	} {
		var got Verdict
		if r, got = Redeem(r, claim(made, step.machine), noon().Add(step.after)); got != step.want || r.UsesLeft != step.left {
			t.Errorf("step %d: %v with %d left, want %v with %d", i, got, r.UsesLeft, step.want, step.left)
		}
	}
	if len(r.Uses) != 2 {
		t.Errorf("uses %v, want two", r.Uses)
	}
	r = r.Revoke(noon().Add(time.Minute)).Revoke(noon().Add(time.Hour))
	if _, got := Redeem(r, claim(made, 1), noon()); got != Revoked || !r.Revoked.Equal(noon().Add(time.Minute)) {
		t.Errorf("revoked at %v: got %v", r.Revoked, got)
	}
}

func TestWhoCannotProveTheSecretLearnsNothing(t *testing.T) {
	made, other := newToken(t), newToken(t)
	good := claim(made, 1)
	twin := made // the same id, another secret
	twin.secret = other.secret
	moved := made // the same secret, as if of another fleet
	moved.Fleet = "prod"
	for _, r := range []Record{record(t, made, 1), record(t, made, 1).Revoke(noon()), {}, func() Record { r := record(t, made, 1); r.UsesLeft = 0; return r }()} {
		for name, spoil := range map[string]func(*Claim){
			"another token":        func(c *Claim) { *c = claim(other, 1) },
			"another secret":       func(c *Claim) { *c = claim(twin, 1) },
			"another fleet":        func(c *Claim) { *c = claim(moved, 1) },
			"another message":      func(c *Claim) { c.Message = []byte("x") },
			"no message":           func(c *Claim) { c.Message = nil },
			"no proof":             func(c *Claim) { c.Proof = nil },
			"proof cut off":        func(c *Claim) { c.Proof = c.Proof[:63] },
			"proof and more":       func(c *Claim) { c.Proof = append(c.Proof[:64:64], 0) },
			"no key":               func(c *Claim) { c.Key = trust.Fingerprint{} },
			"id of another":        func(c *Claim) { c.Token = other.ID },
			"verifier is no proof": func(c *Claim) { v := r.Verifier; c.Proof = append(v[:], v[:]...) },
		} {
			c := good
			spoil(&c)
			for _, now := range []time.Time{noon(), noon().Add(2 * time.Hour)} {
				if after, got := Redeem(r, c, now); got != Wrong || cmp.Diff(r, after) != "" {
					t.Errorf("%s: got %v, want %v and nothing changed", name, got, Wrong)
				}
			}
		}
	}
	for i := range good.Proof {
		c := good
		c.Proof = append([]byte(nil), good.Proof...)
		c.Proof[i] ^= 1
		if _, got := Redeem(record(t, made, 1), c, noon()); got != Wrong {
			t.Errorf("byte %d of the proof changed: %v", i, got)
		}
	}
}

func TestRedeemChangesNoRecordOfOthers(t *testing.T) {
	made := newToken(t)
	r, _ := Redeem(record(t, made, 5), claim(made, 1), noon())
	one, _ := Redeem(r, claim(made, 2), noon())
	two, _ := Redeem(r, claim(made, 3), noon())
	if one.Uses[1].Key == two.Uses[1].Key || r.UsesLeft != 4 || len(r.Uses) != 1 {
		t.Errorf("records share their uses: %v, %v, %v", r.Uses, one.Uses, two.Uses)
	}
}

func TestRecordStorage(t *testing.T) {
	made := newToken(t)
	r, _ := Redeem(record(t, made, 2), claim(made, 1), noon())
	for _, want := range []Record{record(t, made, 2), r, r.Revoke(noon())} {
		data, err := want.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParseRecord(data)
		if err != nil {
			t.Fatalf("%s: %v", data, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("read again (-want +got):\n%s", diff)
		}
		for name, text := range map[string]string{
			"another version": strings.Replace(string(data), `"version":1`, `"version":2`, 1),
			"unknown member":  strings.Replace(string(data), `"version":1`, `"version":1,"x":1`, 1),
			"something else":  string(data) + "{}",
			"cut off":         string(data[:len(data)-1]),
			"uses":            strings.Replace(string(data), `"uses_left":`, `"uses_left":9`, 1) + "",
			"negative":        strings.Replace(string(data), `"uses_left":`, `"uses_left":-`, 1),
		} {
			if name == "uses" || name == "negative" && want.UsesLeft == 0 {
				continue
			}
			if _, err := ParseRecord([]byte(text)); err == nil {
				t.Errorf("%s: accepted %s", name, text)
			}
		}
	}
}

func TestNewRecordRefuses(t *testing.T) {
	made := newToken(t)
	for name, c := range map[string]struct {
		ttl    time.Duration
		uses   int
		labels map[string]string
	}{
		"no time":     {0, 1, nil},
		"no use":      {1, 0, nil},
		"many uses":   {1, MaxUses + 1, nil},
		"label key":   {1, 1, map[string]string{"a-b": "x"}},
		"empty key":   {1, 1, map[string]string{"": "x"}},
		"label value": {1, 1, map[string]string{"a": "x\n"}},
		"no value":    {1, 1, map[string]string{"a": ""}},
		"long value":  {1, 1, map[string]string{"a": strings.Repeat("x", MaxLabel+1)}},
	} {
		if _, err := NewRecord(made, c.ttl, c.uses, c.labels, noon()); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestVerdictsHaveNames(t *testing.T) {
	seen := map[string]bool{}
	for _, v := range Verdicts() {
		if seen[v.String()] || strings.Contains(v.String(), "(") || v.OK() != (v == Admitted || v == Repeated) {
			t.Errorf("%d: name %q, ok %v", v, v, v.OK())
		}
		seen[v.String()] = true
	}
	if Verdict(len(Verdicts())).String()[:8] != "verdict(" {
		t.Errorf("Verdicts is not complete")
	}
}

func FuzzParseRecord(f *testing.F) {
	made := newToken(f)
	r, _ := Redeem(record(f, made, 2), claim(made, 1), noon())
	data, err := r.Marshal()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"version":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := ParseRecord(data)
		if err != nil {
			return
		}
		again, err := r.Marshal()
		if err != nil {
			t.Fatalf("%q: %v", data, err)
		}
		if same, err := ParseRecord(again); err != nil || !cmp.Equal(r.UsesLeft, same.UsesLeft) || same.ID != r.ID {
			t.Errorf("%q: read again: %v, %v", data, same, err)
		}
	})
}
