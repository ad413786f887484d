package worker

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"flag"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/selfmetrics/metricstest"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
	"github.com/cloudless-fleet/cloudless/pkg/trust/home"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
)

func newFlagSet() *flag.FlagSet {
	set := flag.NewFlagSet("test", flag.ContinueOnError)
	set.SetOutput(io.Discard)
	return set
}

// embed runs workerd until stop, or the end of the test.
func embed(t *testing.T, env environment, cfg Config) (log *lines, stop func()) {
	t.Helper()
	log = &lines{}
	ctx, cancel := context.WithCancel(context.Background())
	ready, done := make(chan struct{}), make(chan error, 1)
	logger := slog.New(slog.NewTextHandler(log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	go func() { done <- daemon.Embed(ctx, spec(env), cfg, logger, func() { close(ready) }) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("workerd: %v\n%s", err, log)
		}
	})
	t.Cleanup(stop)
	select {
	case <-ready:
	case err := <-done:
		done <- err
		t.Fatalf("workerd ended before it served: %v", err)
	}
	return log, stop
}

// eventually waits for what other goroutines and sockets bring about.
func eventually(t *testing.T, log *lines, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("not in time:\n%s", log)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// beacon signs what the fleet's servers send.
type beacon struct {
	t       *testing.T
	signer  *packet.Signer
	voucher string
}

func newBeacon(t *testing.T, v *town) *beacon {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := packet.NewBeacon(v.name, v.ca.Fingerprint(), private)
	if err != nil {
		t.Fatal(err)
	}
	voucher, err := packet.Vouch(v.ca, public, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	text, _ := voucher.AppendText(nil)
	return &beacon{t, signer, string(text)}
}

func (b *beacon) seal(kind packet.Kind, m crm.Message) []byte {
	b.t.Helper()
	raw, err := m.Append(nil)
	if err != nil {
		b.t.Fatal(err)
	}
	seal, err := b.signer.Sign(kind, raw, rand.Reader, time.Now())
	if err != nil {
		b.t.Fatal(err)
	}
	sealed, err := crm.AttachSeal(raw, seal.String())
	if err != nil {
		b.t.Fatal(err)
	}
	return sealed
}

// TestSealedPacketsOnly: over real sockets, a member answers the sealed calls of
// its own fleet with sealed answers, and nobody else; then frames go where the
// call has said.
func TestSealedPacketsOnly(t *testing.T) {
	v := loopbackTown(t, ours)
	env, cfg := surroundings(t, 1, nil), modest(t)
	cfg.Discovery.MaxDelay = 0
	dir := stateDir(cfg.StateDirectory)
	if err := dir.make(); err != nil {
		t.Fatal(err)
	}
	if err := dir.write(tokenFile, []byte(v.token(v.address).Reveal()), false); err != nil {
		t.Fatal(err)
	}
	log, _ := embed(t, env, cfg)
	eventually(t, log, func() bool { return strings.Contains(log.String(), "session admitted") })
	h, err := home.Look(cfg.StateDirectory)
	if err != nil {
		t.Fatal(err)
	}
	_, port, _ := strings.Cut(log.String(), "listen=127.0.0.1:")
	port, _, _ = strings.Cut(port, " ")

	conn, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(at("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	coordinator := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	to := net.UDPAddrFromAddrPort(at("127.0.0.1:" + port))
	call := func(hostname string, b *beacon) []byte {
		p := probe(ours, hostname)
		p.ID = hostname
		p.Info.Addr = coordinator.Addr()
		p.Info.Ports = []model.PortInfo{{Daemon: model.DaemonCoordinator, Port: coordinator.Port()}, {Daemon: model.DaemonCollector, Port: 9}}
		if b == nil {
			raw, err := p.Append(nil)
			if err != nil {
				t.Fatal(err)
			}
			return raw
		}
		p.Ext.Voucher = b.voucher
		return b.seal(packet.ProbeInit, p)
	}
	ours := newBeacon(t, v)
	// An impostor, an unsigned one, and only then the right one.
	for _, raw := range [][]byte{call("impostor", newBeacon(t, newTown(t, v.name))), call("unsigned", nil), call("hq", ours)} {
		if _, err := conn.WriteTo(raw, to); err != nil {
			t.Fatal(err)
		}
	}
	buffer := make([]byte, 2048)
	_ = conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	n, _, err := conn.ReadFrom(buffer)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	message, err := crm.Parse(buffer[:n])
	if err != nil {
		t.Fatal(err)
	}
	ack, ok := message.(*crm.ProbeAck)
	if !ok || ack.ID != "hq" || ack.Ext.WorkerID != h.Worker() {
		t.Fatalf("answer %+v, want one to hq", message)
	}
	verifier, err := packet.NewVerifier(v.bundle, packet.DefaultWindowConfig())
	if err != nil {
		t.Fatal(err)
	}
	unsealed, seal, _ := crm.DetachSeal(buffer[:n])
	if verdict := verifier.Worker(packet.ProbeAck, unsealed, seal, h.Worker(), h.PublicKey(), time.Now()); !verdict.OK() {
		t.Errorf("the answer's seal: %v", verdict.Reason)
	}
	yes := &crm.RegisterAck{ID: "hq", Info: crm.RegisterInfo{Status: true}, Ext: &crm.RegisterAckExt{WorkerID: h.Worker(), Instance: "web-1"}}
	forged, err := yes.Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	yes.Ext.Voucher = ours.voucher
	for _, raw := range [][]byte{forged, ours.seal(packet.RegisterAck, yes)} {
		if _, err := conn.WriteTo(raw, to); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, log, func() bool { return strings.Contains(log.String(), "state=REGISTERED") })
	eventually(t, log, func() bool { return strings.Contains(log.String(), "addr=127.0.0.1:9 ") }) // the stream tries
	for _, reason := range []string{"reason=foreign_fleet", "reason=unsigned"} {
		if !strings.Contains(log.String(), reason) {
			t.Errorf("the log does not tell of %s", reason)
		}
	}
}

// TestThePortRemembersWhoCalls: the first ones while nobody can be verified.
func TestThePortRemembersWhoCalls(t *testing.T) {
	p := newPort(time.Now, rand.Reader, &clock{log: quiet()})
	for i := range 40 {
		call := probe(ours, "hq")
		call.Info.Addr = netip.AddrFrom4([4]byte{10, 0, 0, byte(i)})
		if _, answered := p.Probed(call, at(hq)); answered {
			t.Fatal("answered by who trusts nobody")
		}
		p.Probed(call, at(hq))
	}
	heard, last := p.calls()
	if len(heard) != maxHeard || heard[0].address != "10.0.0.0:10100" || last.IsZero() {
		t.Errorf("remembered %d, the first %+v", len(heard), heard[0])
	}
	v := newTown(t, ours)
	if err := p.trust(v.bundle); err != nil {
		t.Fatal(err)
	}
	if heard, _ := p.calls(); len(heard) != 0 {
		t.Errorf("%d callers are left that nobody has verified", len(heard))
	}
	for i := range 40 {
		call := probe(ours, "hq")
		call.Info.Addr = netip.AddrFrom4([4]byte{10, 0, 1, byte(i)})
		p.remember(calledFrom{ours, "10.0.1.0:10100"}) // this one goes on calling
		p.remember(calledFrom{ours, call.Info.Addr.String() + ":10100"})
	}
	heard, _ = p.calls()
	if len(heard) != maxHeard || heard[maxHeard-1].address != "10.0.1.39:10100" || heard[maxHeard-2].address != "10.0.1.0:10100" {
		t.Errorf("of those that were verified: %+v", heard)
	}
	if got := p.judge(probe(ours, "hq"), nil, at(hq)); got.Reason != packet.Unsigned {
		t.Errorf("judged %v", got.Reason)
	}
	if _, err := p.seal(nil); err == nil {
		t.Error("sealed in nobody's name")
	}
}

func TestMetricsAreTheSameSeriesInEveryRound(t *testing.T) {
	r := prepare(t, surroundings(t, 1, &wire{}), modest(t))
	l, err := r.live(ours)
	if err != nil {
		t.Fatal(err)
	}
	defer r.endLife((*life).end)
	before := r.metrics(l)
	metricstest.Check(t, before)
	ends := time.Now()
	r.stand(standingMember, func(s *Status) { s.CertificateEnds = &ends })
	r.clock.heard(time.Second)
	r.port.Probed(probe("factory", "hq"), at(hq))
	after := r.metrics(l)
	metricstest.Check(t, after)
	metricstest.SameSeries(t, before, after)
	values := map[string]float64{}
	for _, m := range after {
		if m.Name == "cloudless_certificate_not_after_seconds" {
			values[m.Name] = m.Value
		}
		if len(m.Labels) == 0 || m.Value == 1 && strings.HasPrefix(m.Name, "cloudless_worker_standing") {
			values[m.Name] = m.Value
			if len(m.Labels) > 0 && m.Labels[0].Value != "member" {
				t.Errorf("standing %v", m.Labels)
			}
		}
	}
	if values["cloudless_worker_clock_offset_seconds"] != 1 || values["cloudless_certificate_not_after_seconds"] != float64(ends.Unix()) {
		t.Errorf("clock offset %v, end %v", values["cloudless_worker_clock_offset_seconds"], values["cloudless_certificate_not_after_seconds"])
	}
}

func TestAcknowledgementsAreSignsOfLife(t *testing.T) {
	r := prepare(t, surroundings(t, 1, &wire{}), modest(t))
	l, err := r.live(ours)
	if err != nil {
		t.Fatal(err)
	}
	defer r.endLife((*life).end)
	heard := 0
	live, err := supply{l.spool, func() { heard++ }}.Live(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	live.Acked(0)
	live.Acked(0)
	live.Rejected(1, 1, 1, stream.CauseFuture, "too late")
	if heard != 3 || l.spool.Stats().Rejected != 1 {
		t.Errorf("heard %d times, %d rejected; want 3, 1", heard, l.spool.Stats().Rejected)
	}
}

// TestADamagedFolder does not make a member trust anybody.
func TestADamagedFolder(t *testing.T) {
	v, s := loopbackTown(t, ours), newShell(t)
	if _, err := s.call("join", nil, v.token(v.address).Reveal()); err != nil {
		t.Fatal(err)
	}
	h, err := home.Look(s.cfg.StateDirectory)
	if err != nil {
		t.Fatal(err)
	}
	f := func(damage func(path string) error, want string) {
		t.Helper()
		ca, err := disk.Read(h.Files().CA, maxStatus)
		if err == nil {
			err = damage(h.Files().CA)
		}
		if err != nil {
			t.Fatal(err)
		}
		err = daemon.Embed(t.Context(), spec(s.env), s.cfg, quiet(), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
		if err := os.WriteFile(h.Files().CA, ca, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	f(os.Remove, "is missing beside the certificate")
	f(func(path string) error { return os.WriteFile(path, []byte("rubbish"), 0o644) }, "no PEM certificate")
	if err := os.WriteFile(h.Files().Key, []byte("rubbish"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := daemon.Embed(t.Context(), spec(s.env), s.cfg, quiet(), nil); err == nil || !strings.Contains(err.Error(), home.ErrDamaged.Error()) {
		t.Errorf("got %v, want %v", err, home.ErrDamaged)
	}
}
