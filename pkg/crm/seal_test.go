package crm

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Texts of the lengths that package trust/packet makes.
const (
	sampleSeal    = "AQABAgMEBQYHAAABnKQJRAABAgMEBQYHCN9NFq1YqH2VjT0q9Tz_eS9fWQ4Jw0uJ3yLr6zQXo1m5N-cH0b2KdVxP8aRtE7gYwUi4sLkZ6CfMhOnDpBvWQgx"
	sampleVoucher = "AQABAgMEBQYHVt7s-0k3dZbKq1XnYgRr2oW9uEaC5hTmPjLxNfBvS4IAAAGcpgVUAGQ3rT8yUe1iOp6AsDfGhJkLzXcVbNm_7QwErTyUiOpAsDfGhJkLzXcVbNmQwErTyUiOpAsDfGhJkLzXcVbNmQw"
)

func sealedSamples() (messages []Message, golden []string) {
	probe, ack, reply := sampleProbeInit(), sampleProbeAck(), sampleRegisterAck()
	probe.Ext = &ProbeInitExt{Fleet: "lab", FleetSize: 3, Interval: 10 * time.Second, Voucher: sampleVoucher, Seal: sampleSeal}
	ack.Ext = &ProbeAckExt{WorkerID: sampleWorkerID(), KeepAlive: 30 * time.Second, Version: "1.2.3", Seal: sampleSeal}
	reply.Ext = &RegisterAckExt{WorkerID: sampleWorkerID(), Instance: "worker1", State: model.Registered, Voucher: sampleVoucher, Seal: sampleSeal}
	extended := func(golden, member string) string { return strings.TrimSuffix(golden, "}") + member + "}" }
	const voucher, seal = `, "voucher": "` + sampleVoucher + `"`, `, "seal": "` + sampleSeal + `"`
	return []Message{probe, ack, reply}, []string{
		extended(goldenProbeInit, `, "cloudless": {"fleet": "lab", "fleet_size": 3, "interval_ms": 10000`+voucher+seal+`}`),
		extended(goldenProbeAck, `, "cloudless": {"worker_id": "01020300-0000-4000-8000-0000000000ff", "keep_alive_ms": 30000, "version": "1.2.3"`+seal+`}`),
		extended(goldenRegisterAck, `, "cloudless": {"worker_id": "01020300-0000-4000-8000-0000000000ff", "instance": "worker1", "state": "registered"`+voucher+seal+`}`),
	}
}

// sealOf is where a message's seal stands.
func sealOf(m Message) *string {
	switch m := m.(type) {
	case *ProbeInit:
		return &m.Ext.Seal
	case *ProbeAck:
		return &m.Ext.Seal
	case *RegisterAck:
		return &m.Ext.Seal
	}
	panic("no such message")
}

// A sealed packet is the unsealed one with the seal as the last member.
func TestSealedPackets(t *testing.T) {
	if len(sampleSeal) != 119 || len(sampleVoucher) != 151 {
		t.Fatalf("samples of %d and %d characters", len(sampleSeal), len(sampleVoucher))
	}
	messages, golden := sealedSamples()
	for i, m := range messages {
		checkBothWays(t, m, golden[i])
		unsealed, seal, ok := DetachSeal([]byte(golden[i]))
		if !ok || seal != sampleSeal {
			t.Fatalf("DetachSeal(%s) = %q, %v", golden[i], seal, ok)
		}
		*sealOf(m) = ""
		checkBothWays(t, m, string(unsealed))
		again, err := AttachSeal(unsealed, seal)
		if err != nil || string(again) != golden[i] {
			t.Errorf("AttachSeal(%s) = %s, %v", unsealed, again, err)
		}
	}
}

// Members that only a later version knows are signed as well, wherever they stand.
func TestDetachSealKeepsWhatItDoesNotKnow(t *testing.T) {
	_, golden := sealedSamples()
	later := replace(golden[1], `, "cloudless": {`, `, "new": [1, {"a": "}}"}], "cloudless": {"newer": {"x": ", \"seal\": \"A\""}, `)
	unsealed, seal, ok := DetachSeal([]byte(later))
	if want := replace(later, `, "seal": "`+sampleSeal+`"`, ``); !ok || seal != sampleSeal || string(unsealed) != want {
		t.Errorf("DetachSeal = %s, %q, %v\nwant %s", unsealed, seal, ok, want)
	}
	if m, err := Parse([]byte(later)); err != nil || *sealOf(m) != sampleSeal {
		t.Errorf("Parse = %+v, %v", m, err)
	}
}

func TestAttachSealRefuses(t *testing.T) {
	f := func(packet, seal string, want Reason) {
		t.Helper()
		got, err := AttachSeal([]byte(packet), seal)
		wantReason(t, err, want, packet)
		if got != nil {
			t.Errorf("AttachSeal gave %s along with an error", got)
		}
	}
	_, golden := sealedSamples()
	open, _, _ := DetachSeal([]byte(golden[1]))
	good := string(open)
	f(good, "", BadExtension)
	f(good, "a b", BadExtension)
	f(good, `x"`, BadExtension)
	f(good, "ü", BadExtension)
	f(good, strings.Repeat("x", 257), BadExtension)
	f(golden[1], sampleSeal, BadExtension)      // has one
	f(goldenProbeAck, sampleSeal, BadExtension) // a legacy packet has no place for one
	f(good+" ", sampleSeal, BadExtension)
	f(good[:len(good)-1], sampleSeal, BadExtension)
	f("", sampleSeal, BadExtension)
	f("}}", sampleSeal, BadExtension)

	m := &RegisterAck{ID: "x", Ext: &RegisterAckExt{WorkerID: sampleWorkerID()}}
	base, _ := m.Append(nil)
	m.Info.Message = strings.Repeat("x", MaxPacket-len(base)-SealOverhead-len(sampleSeal))
	full, _ := m.Append(nil)
	if b, err := AttachSeal(full, sampleSeal); err != nil || len(b) != MaxPacket {
		t.Errorf("AttachSeal gave %d bytes, %v; want %d", len(b), err, MaxPacket)
	}
	m.Info.Message += "x"
	full, _ = m.Append(nil)
	f(string(full), sampleSeal, TooLarge)
}

func TestDetachSealRefuses(t *testing.T) {
	f := func(packet string) {
		t.Helper()
		if unsealed, seal, ok := DetachSeal([]byte(packet)); ok || unsealed != nil || seal != "" {
			t.Errorf("DetachSeal(%s) = %s, %q, %v; want nothing", packet, unsealed, seal, ok)
		}
	}
	_, golden := sealedSamples()
	good := golden[1]
	const member = `, "seal": "` + sampleSeal + `"`
	f("")
	f(`"}}`)
	f(goldenProbeAck)
	f(replace(good, member, ``))
	f(good + " ")
	f(" " + good[:len(good)-1])
	f(good + "\n")
	f(good[:len(good)-1] + " }")
	f(good + "}")
	f(replace(good, member, `, "seal": ""`))
	f(replace(good, member, `,"seal": "`+sampleSeal+`"`))
	f(replace(good, member, `, "seal":"`+sampleSeal+`"`))
	f(replace(good, member, `, "seal": "`+sampleSeal[1:]+`\u0041"`))
	f(replace(good, member, `, "se\u0061l": "`+sampleSeal+`"`))
	f(replace(good, member, `, "seal": "`+strings.Repeat("x", 257)+`"`))
	f(replace(good, member, member+member))
	f(replace(good, member, member+`, "later": 1`))
	f(replace(good, member, `, "seal": 1, "x": "y"`))
	f(replace(good, `, "cloudless": {`, `, "cloudles": {`))
	f(replace(good, `, "cloudless": {`, `, "cloudless":{`))
	f(replace(good, `"version": "1.2.3"`, `"version": "`+strings.Repeat("v", 300)+`"`)) // more than a packet
}

func TestRefusesWhatIsNoSealOrVoucher(t *testing.T) {
	_, golden := sealedSamples()
	for _, text := range []string{`"a b"`, `"a=="`, `"a+/b"`, `"\u00e4"`, `1`, `null`, `{}`} {
		for _, packet := range golden {
			changed := replace(packet, `"`+sampleSeal+`"`, text)
			_, err := Parse([]byte(changed))
			wantReason(t, err, BadExtension, changed)
		}
		for _, packet := range []string{golden[0], golden[2]} {
			changed := replace(packet, `"`+sampleVoucher+`"`, text)
			_, err := Parse([]byte(changed))
			wantReason(t, err, BadExtension, changed)
		}
	}
	long := `"` + strings.Repeat("x", 257) + `"`
	for _, changed := range []string{replace(golden[1], `"`+sampleSeal+`"`, long), replace(golden[2], `"`+sampleVoucher+`"`, long)} {
		_, err := Parse([]byte(changed))
		wantReason(t, err, BadExtension, changed)
	}
	for _, m := range []Message{
		&ProbeInit{Info: sampleProbeInit().Info, Ext: &ProbeInitExt{Fleet: "lab", Interval: time.Second, Voucher: `x"`}},
		&ProbeInit{Info: sampleProbeInit().Info, Ext: &ProbeInitExt{Fleet: "lab", Interval: time.Second, Seal: `x"`}},
		&ProbeAck{Info: sampleProbeAck().Info, Ext: &ProbeAckExt{WorkerID: sampleWorkerID(), KeepAlive: time.Second, Seal: " "}},
		&RegisterAck{Ext: &RegisterAckExt{WorkerID: sampleWorkerID(), Voucher: "\n"}},
		&RegisterAck{Ext: &RegisterAckExt{WorkerID: sampleWorkerID(), Seal: "\x00"}},
	} {
		_, err := m.Append(nil)
		wantReason(t, err, BadExtension, "Append")
	}
}

// ClockOffset is the receiver's own and does not travel.
func TestClockOffsetDoesNotTravel(t *testing.T) {
	messages, golden := sealedSamples()
	messages[0].(*ProbeInit).Ext.ClockOffset = time.Second
	messages[1].(*ProbeAck).Ext.ClockOffset = time.Second
	messages[2].(*RegisterAck).Ext.ClockOffset = time.Second
	for i, m := range messages {
		if b, err := m.Append(nil); err != nil || string(b) != golden[i] {
			t.Errorf("Append = %s, %v; want %s", b, err, golden[i])
		}
	}
}

// Whatever a message holds, a seal goes in and comes out again.
func TestAttachAndDetachAreInverses(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(3, 4))}
	sealed := 0
	for range 5_000 {
		m := g.message()
		unsealed, err := m.Append(nil)
		if err != nil || len(unsealed) > MaxPacket-SealOverhead-len(sampleSeal) {
			continue
		}
		packet, err := AttachSeal(unsealed, sampleSeal)
		if err != nil {
			if extendedUnsealed(m) {
				t.Fatalf("AttachSeal(%s): %v", unsealed, err)
			}
			continue
		}
		sealed++
		got, seal, ok := DetachSeal(packet)
		if !ok || seal != sampleSeal || !bytes.Equal(got, unsealed) {
			t.Fatalf("DetachSeal(%s) = %s, %q, %v", packet, got, seal, ok)
		}
		*sealOf(m) = sampleSeal
		back, err := Parse(packet)
		if err != nil {
			t.Fatalf("Parse(%s): %v", packet, err)
		}
		if diff := cmp.Diff(m, back, compare()); diff != "" {
			t.Fatalf("Parse(%s) (-want +got):\n%s", packet, diff)
		}
	}
	if sealed < 500 {
		t.Errorf("only %d packets were sealed", sealed)
	}
}

func extendedUnsealed(m Message) bool {
	switch m := m.(type) {
	case *ProbeInit:
		return m.Ext != nil && m.Ext.Seal == ""
	case *ProbeAck:
		return m.Ext != nil && m.Ext.Seal == ""
	case *RegisterAck:
		return m.Ext != nil && m.Ext.Seal == ""
	}
	return false
}

// FuzzSeal: of any bytes, what DetachSeal takes apart AttachSeal puts together
// again, and a packet in which Parse finds the same seal differs by nothing else.
func FuzzSeal(f *testing.F) {
	_, golden := sealedSamples()
	for _, packet := range append(golden, goldenProbeAck, `{"a": 1, "cloudless": {"x": 1, "seal": "AB"}}`,
		`{"x": ", \"cloudless\": {", "cloudless": {"x": "}}", "seal": "_-"}}`) {
		f.Add([]byte(packet), "AB")
	}
	f.Fuzz(func(t *testing.T, packet []byte, seal string) {
		before := bytes.Clone(packet)
		if unsealed, found, ok := DetachSeal(packet); ok {
			again, err := AttachSeal(unsealed, found)
			if err != nil || !bytes.Equal(again, packet) {
				t.Fatalf("AttachSeal gave %s, %v, of %s", again, err, packet)
			}
			checkSameMessage(t, packet, unsealed, found)
		}
		if attached, err := AttachSeal(packet, seal); err == nil {
			if got, found, ok := DetachSeal(attached); !ok || found != seal || !bytes.Equal(got, packet) {
				t.Fatalf("DetachSeal gave %s, %q, %v of %s", got, found, ok, attached)
			}
		}
		if !bytes.Equal(before, packet) {
			t.Fatal("the packet was changed")
		}
	})
}

func checkSameMessage(t *testing.T, packet, unsealed []byte, seal string) {
	sealed, err := Parse(packet)
	if err != nil || !hasSeal(sealed, seal) {
		return
	}
	open, err := Parse(unsealed)
	if err != nil {
		t.Fatalf("a packet is read with its seal, but not without: %v\n%s", err, packet)
	}
	*sealOf(open) = seal
	if diff := cmp.Diff(sealed, open, compare()); diff != "" {
		t.Fatalf("with and without its seal (-with +without):\n%s", diff)
	}
}

func hasSeal(m Message, seal string) bool {
	switch m := m.(type) {
	case *ProbeInit:
		return m.Ext != nil && m.Ext.Seal == seal
	case *ProbeAck:
		return m.Ext != nil && m.Ext.Seal == seal
	case *RegisterAck:
		return m.Ext != nil && m.Ext.Seal == seal
	}
	return false
}

func BenchmarkDetachSeal(b *testing.B) {
	b.ReportAllocs()
	_, golden := sealedSamples()
	packet := []byte(golden[1])
	for b.Loop() {
		if _, _, ok := DetachSeal(packet); !ok {
			b.Fatal("no seal")
		}
	}
}
