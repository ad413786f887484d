package crm

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// generator makes random messages within the bounds of the fields.
type generator struct{ *rand.Rand }

func (g generator) text(least, most int) string {
	alphabet := []rune("abcXYZ019-._ \"\\/üß漢😀\u00a0")
	n := least + g.IntN(most-least+1)
	out := ""
	for range n {
		next := out + string(alphabet[g.IntN(len(alphabet))])
		if len(next) > most {
			break
		}
		out = next
	}
	return out
}

func (g generator) addr() netip.Addr {
	switch g.IntN(4) {
	case 0:
		return netip.Addr{}
	case 1:
		var b [16]byte
		for i := range b {
			b[i] = byte(g.Uint32())
		}
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte{byte(g.Uint32()), byte(g.Uint32()), byte(g.Uint32()), byte(g.Uint32())})
}

func (g generator) host() model.HostInfo {
	h := model.HostInfo{Hostname: g.text(1, 20), Addr: g.addr(), Type: model.HostType(1 + g.IntN(2))}
	for range g.IntN(4) {
		h.Ports = append(h.Ports, model.PortInfo{Daemon: g.text(1, 8), Port: uint16(1 + g.IntN(65535))})
	}
	return h
}

func (g generator) worker() model.WorkerID {
	return model.WorkerIDFrom([16]byte{byte(g.Uint32()), byte(g.Uint32())})
}

// code makes the text of a seal or voucher, or none.
func (g generator) code() string {
	const alphabet = "abcXYZ019-_"
	text := make([]byte, max(0, g.IntN(60)-20))
	for i := range text {
		text[i] = alphabet[g.IntN(len(alphabet))]
	}
	return string(text)
}

func (g generator) period() time.Duration {
	return time.Duration(1+g.Int64N(int64(MaxPeriod/time.Millisecond))) * time.Millisecond
}

func (g generator) message() Message {
	d := Dialect{Family: Family(g.IntN(2)), NamedType: g.IntN(2) == 0}
	padded := g.IntN(2) == 0
	extended := g.IntN(2) == 0
	switch g.IntN(3) {
	case 0:
		d.PaddedReduce = padded
		m := &ProbeInit{ID: g.text(0, 36), Info: g.host(), Dialect: d}
		if extended {
			m.Ext = &ProbeInitExt{Fleet: g.text(1, 10), FleetSize: g.IntN(MaxFleetSize + 1), Interval: g.period(),
				Voucher: g.code(), Seal: g.code()}
		}
		return m
	case 1:
		d.PaddedReduce = padded
		m := &ProbeAck{ID: g.text(0, 36), Info: g.host(), Dialect: d}
		if extended {
			m.Ext = &ProbeAckExt{WorkerID: g.worker(), KeepAlive: g.period(), Version: g.text(0, 10), Seal: g.code()}
		}
		return m
	}
	d.PaddedReduce = padded && !d.NamedType // nothing in the packet would show it
	m := &RegisterAck{ID: g.text(0, 36), Dialect: d,
		Info: RegisterInfo{Status: g.IntN(2) == 0, Message: g.text(0, 60) + "\n\x00", MaxRetries: g.IntN(MaxRetries + 1)}}
	if extended {
		m.Ext = &RegisterAckExt{WorkerID: g.worker(), Instance: g.text(0, 20), State: model.WorkerState(g.IntN(int(model.Left) + 1)),
			Voucher: g.code(), Seal: g.code()}
	}
	return m
}

func TestParseOfAppendIsTheMessage(t *testing.T) {
	g := generator{rand.New(rand.NewPCG(1, 2))}
	tooLarge := 0
	const rounds = 5_000
	for range rounds {
		m := g.message()
		b, err := m.Append(nil)
		if err != nil {
			wantReason(t, err, TooLarge, "Append")
			tooLarge++
			continue
		}
		for _, c := range b {
			if c < ' ' || c > '~' {
				t.Fatalf("byte %#x in %s", c, b)
			}
		}
		back, err := Parse(b)
		if err != nil {
			t.Fatalf("Parse(%s): %v", b, err)
		}
		if diff := cmp.Diff(m, back, compare()); diff != "" {
			t.Fatalf("Parse(%s) (-want +got):\n%s", b, diff)
		}
	}
	if tooLarge > rounds/5 {
		t.Errorf("%d of %d messages are too large to say much", tooLarge, rounds)
	}
}

// FuzzParse: any bytes give a message or an *Error, and a message that fits
// into a packet when written our way is read back as it was.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{goldenProbeInit, goldenProbeAck, goldenRegisterAck, goldenQueryAck, goldenReport,
		replace(goldenProbeInit, reduceInit, `"PROBE_INIT"`),
		`{"py/object": "vrmjobs.RegisterAck", "py/state": {"id": "", "type": "3", "info": {"py/object": "vrmjobs.RegisterInfo", "status": false, "message": "x", "max_retries": 2}}}`,
		`{"py/object": "dtos.ProbeAck", "id": "x", "type": 2, "info": {"py/object": "dtos.HostInfo", "hostname": "h", "inet_addr": "", "ports": {"py/tuple": []}, "type": "WORKER"}, "cloudless": {"worker_id": "01020300-0000-4000-8000-0000000000ff", "keep_alive_ms": 30000, "version": "1"}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || int(e.Reason) >= NumReasons || m != nil {
				t.Fatalf("Parse gave %v and the error %#v", m, err)
			}
			return
		}
		written, err := m.Append(nil)
		if err != nil {
			wantReason(t, err, TooLarge, string(b))
			return
		}
		back, err := Parse(written)
		if err != nil {
			t.Fatalf("Parse of what Append wrote: %v, %s", err, written)
		}
		if r, ok := m.(*RegisterAck); ok && r.Dialect.NamedType {
			r.Dialect.PaddedReduce = false
		}
		if diff := cmp.Diff(m, back, compare()); diff != "" {
			t.Fatalf("written and read again (-want +got):\n%s", diff)
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	packet := []byte(goldenProbeAck)
	for b.Loop() {
		if _, err := Parse(packet); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAppend(b *testing.B) {
	b.ReportAllocs()
	m := sampleProbeAck()
	buffer := make([]byte, 0, MaxPacket)
	for b.Loop() {
		if _, err := m.Append(buffer); err != nil {
			b.Fatal(err)
		}
	}
}
