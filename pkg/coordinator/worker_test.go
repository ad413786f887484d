package coordinator

import (
	"crypto/ed25519"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
)

func (h *hall) keyOf(m *machine) ed25519.PublicKey { return m.key.Public().(ed25519.PublicKey) }

// registers says over HTTPS that a machine wants to be registered.
func (h *hall) registers(m *machine, as *api.MemberClient) (*crm.RegisterAck, error) {
	h.t.Helper()
	raw, err := wish(m.id, m.hostname).Append(nil)
	if err != nil {
		h.t.Fatal(err)
	}
	answer, err := as.Register(h.t.Context(), raw)
	if err != nil {
		return nil, err
	}
	ack, err := crm.Parse(answer)
	if err != nil {
		h.t.Fatal(err)
	}
	return ack.(*crm.RegisterAck), nil
}

func TestAWorkersDay(t *testing.T) {
	h := start(t)
	m := h.machine(1)
	h.join(m)
	stream := h.session(m)
	if d := next(t, stream); d.Plan == nil || d.Plan.Profile != "default" || !cmp.Equal(d.Plan.For, []string{"default profile"}) ||
		d.Plan.Instance != "" || d.Plan.Labels["rack"] != "7" || d.Bundle != "" || d.Renew {
		t.Errorf("first line: %+v, plan %+v", d, d.Plan)
	}
	ack, err := h.registers(m, h.worker(m))
	if err != nil || !ack.Info.Status || ack.Ext.Instance != "web" {
		t.Fatalf("registered: %+v, %v", ack, err)
	}
	d := next(t, stream)
	if d.Plan == nil || d.Plan.Instance != "web" {
		t.Errorf("after registration: %+v", d)
	}
	revision := d.Plan.Revision
	hq := h.as(h.member(trust.RoleCollector, "hq"))
	hello := api.CollectorHello{Hostname: "monitor", Port: 9090, Beacon: make([]byte, 32), Bundle: h.digest()}
	welcome, err := hq.Hello(t.Context(), hello)
	if err != nil || welcome.Voucher == "" || welcome.Bundle != "" || welcome.Authority != h.home.Fingerprint() || welcome.Renew {
		t.Errorf("welcome: %+v, %v", welcome, err)
	}
	d = next(t, stream)
	if d.Plan == nil || !cmp.Equal(d.Plan.Collectors, []api.CollectorAddress{{Hostname: "monitor", Port: 9090}}) || d.Plan.Revision <= revision {
		t.Errorf("after a collector came: %+v", d.Plan)
	}
	ahead := m.alive(h.digest())
	ahead.Now += 90_000
	result, err := h.worker(m).KeepAlive(t.Context(), ahead)
	if err != nil || !result.Renewed || !result.Session {
		t.Errorf("keep-alive: %+v, %v", result, err)
	}
	changes, err := hq.Workers(t.Context(), 0, 0)
	if err != nil || len(changes.Workers) != 1 {
		t.Fatalf("feed: %+v, %v", changes, err)
	}
	row := changes.Workers[0]
	if row.Boot != m.boot || row.Labels["rack"] != "7" || row.State != model.Registered || row.ClockOffset < 85_000 || row.ClockOffset > 95_000 {
		t.Errorf("row: %+v", row)
	}
	answer, err := h.worker(m).Renew(t.Context())
	if err != nil || answer.Outcome != api.Admitted {
		t.Errorf("renewal: %+v, %v", answer, err)
	}
	if other := (api.Leave{Boot: model.BootIDFrom([16]byte{9})}); h.worker(m).Leave(t.Context(), other) != nil {
		t.Errorf("another process may say goodbye")
	}
	if w, _ := h.registry.Worker(m.id); w.State != model.Registered {
		t.Errorf("the goodbye of another process: %v", w.State)
	}
	if err := h.worker(m).Leave(t.Context(), api.Leave{Boot: m.boot}); err != nil {
		t.Error(err)
	}
	if w, _ := h.registry.Worker(m.id); w.State != model.Left {
		t.Errorf("after its goodbye: %v", w.State)
	}
}

func TestAWorkerSpeaksForItselfOnly(t *testing.T) {
	h := start(t)
	a, b := h.machine(1), h.machine(2)
	h.join(a)
	h.join(b)
	ofB := h.session(b)
	next(t, ofB)
	if _, err := h.registers(b, h.worker(b)); err != nil {
		t.Fatal(err)
	}
	before, _ := h.registry.Worker(b.id)

	if _, err := h.registers(b, h.worker(a)); status(err) != http.StatusForbidden {
		t.Errorf("A registers B: %v", err)
	}
	// A keep-alive names no worker. A says B's process and machine.
	result, err := h.worker(a).KeepAlive(t.Context(), b.alive(h.digest()))
	if err != nil || result.Renewed || result.Session {
		t.Errorf("A keeps B alive: %+v, %v", result, err)
	}
	stream, err := h.worker(a).Session(t.Context(), api.Session{Boot: b.boot, Body: b.Body, Bundle: h.digest(), Hostname: "web", Now: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if d := next(t, stream); d.Plan == nil || d.Plan.Instance != "" {
		t.Errorf("A in B's words: %+v, want A's own session", d)
	}
	if err := h.worker(a).Leave(t.Context(), api.Leave{Boot: b.boot}); err != nil {
		t.Error(err)
	}
	after, _ := h.registry.Worker(b.id)
	if after.State != model.Registered || !after.LastContact.Equal(before.LastContact) || h.desk.Admitted(b.id) != b.boot {
		t.Errorf("B after all that: %+v, was %+v", after, before)
	}
	for _, path := range []string{api.PathControlWorkers, api.PathControlStats, api.PathControlRevocations,
		api.PrefixAdminCoordinator + api.PathAdminMembers, api.PrefixAdminCoordinator + api.PathAdminFleet} {
		response, err := h.http2(a.member.Client(trust.RoleCoordinator)).Get("https://" + h.tcp + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusForbidden {
			t.Errorf("A reads %s: %d", path, response.StatusCode)
		}
	}
	if _, err := h.adminAs(a.member).As("root from 127.0.0.1").CreateToken(t.Context(), api.TokenRequest{}); status(err) != http.StatusForbidden {
		t.Errorf("A makes a token in an administrator's name: %v", err)
	}
}

// here lets a worker be answered where its packet came from.
func here(w *crm.ProbeAck, port uint16) *crm.ProbeAck {
	w.Info.Addr = netip.MustParseAddr("127.0.0.1")
	w.Info.Ports[0].Port = port
	return w
}

func TestOnlySignedProbeAcksAreBelieved(t *testing.T) {
	h := start(t)
	a, b, stranger := h.machine(1), h.machine(2), h.machine(3)
	h.join(a)
	h.join(b)
	listener, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:0")))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	port := listener.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	ack := func(m *machine) *crm.ProbeAck { return here(wish(m.id, m.hostname), port) }
	unsigned, err := ack(a).Append(nil)
	if err != nil {
		t.Fatal(err)
	}
	foreign := start(t)
	good := sealed(t, ack(a), h.signer(a.id, a.key), time.Now())
	send := func(p []byte) {
		t.Helper()
		conn, err := net.Dial("udp", h.udp)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if _, err := conn.Write(p); err != nil {
			t.Fatal(err)
		}
	}
	untrusted := func(r packet.Reason) uint64 { return h.registrar.Stats().Listen.Untrusted[r] }
	send(good)
	soon(t, "A is registered", 5*time.Second, func() bool { w, ok := h.registry.Worker(a.id); return ok && w.State == model.Registered })
	for _, bad := range []struct {
		name   string
		packet []byte
		reason packet.Reason
	}{
		{"unsigned", unsigned, packet.Unsigned},
		{"A for B", sealed(t, ack(b), h.signer(b.id, a.key), time.Now()), packet.BadSignature},
		{"a stranger", sealed(t, ack(stranger), h.signer(stranger.id, stranger.key), time.Now()), packet.UnknownSender},
		{"another fleet", sealed(t, ack(a), foreign.signer(a.id, a.key), time.Now()), packet.ForeignFleet},
		{"played again", good, packet.Replayed},
		{"an hour late", sealed(t, ack(a), h.signer(a.id, a.key), time.Now().Add(-time.Hour)), packet.TooOld},
		{"an hour early", sealed(t, ack(a), h.signer(a.id, a.key), time.Now().Add(time.Hour)), packet.FromFuture},
	} {
		was := untrusted(bad.reason)
		send(bad.packet)
		soon(t, bad.name+" is counted as "+bad.reason.String(), 5*time.Second, func() bool { return untrusted(bad.reason) == was+1 })
	}
	if _, known := h.registry.Worker(b.id); known {
		t.Errorf("B was registered by a forged packet")
	}
	// The answer to the one good packet, and no other.
	buffer := make([]byte, 2048)
	listener.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, err := listener.Read(buffer)
	if err != nil {
		t.Fatalf("no answer: %v", err)
	}
	unsealed, seal, ok := crm.DetachSeal(buffer[:n])
	m, err := crm.Parse(buffer[:n])
	if err != nil || !ok {
		t.Fatalf("answer %q: %v", buffer[:n], err)
	}
	v, err := packet.NewVerifier(h.home.Bundle(), packet.DefaultWindowConfig())
	if err != nil {
		t.Fatal(err)
	}
	answer := m.(*crm.RegisterAck)
	if verdict := v.Beacon(packet.RegisterAck, unsealed, seal, answer.Ext.Voucher, time.Now()); !verdict.OK() || !answer.Info.Status {
		t.Errorf("answer %q: %v", buffer[:n], verdict.Reason)
	}
	listener.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
	if n, err := listener.Read(buffer); err == nil {
		t.Errorf("answered what is not to be believed: %q", buffer[:n])
	}
	if w, _ := h.registry.Worker(a.id); w.ClockOffset != 0 {
		t.Errorf("clock offset %v, want none", w.ClockOffset)
	}
	send(sealed(t, ack(a), h.signer(a.id, a.key), time.Now().Add(2*time.Minute)))
	soon(t, "the clock offset is known", 5*time.Second, func() bool {
		w, _ := h.registry.Worker(a.id)
		return w.ClockOffset > 110*time.Second && w.ClockOffset < 130*time.Second
	})
}

func TestACopiedIdentityIsNeverTwoAtOnce(t *testing.T) {
	h := start(t)
	original := h.machine(1)
	h.join(original)
	next(t, h.session(original))
	if _, err := h.registers(original, h.worker(original)); err != nil {
		t.Fatal(err)
	}
	copied := *original
	copied.boot, copied.Body = model.BootIDFrom([16]byte{7}), trust.Body{7}
	stream := h.session(&copied)
	if d := next(t, stream); d.Rekey == "" || d.Plan != nil {
		t.Fatalf("the copy: %+v, want it to re-key", d)
	}
	if _, err := stream.Next(); !errors.Is(err, io.EOF) {
		t.Errorf("after that: %v, want the end", err)
	}
	if result, err := h.worker(&copied).KeepAlive(t.Context(), copied.alive(h.digest())); err != nil || result.Session || result.Renewed {
		t.Errorf("the copy keeps the original alive: %+v, %v", result, err)
	}
	if w, _ := h.registry.Worker(original.id); w.Boot != original.boot {
		t.Errorf("admitted process: %v, want the original's", w.Boot)
	}
	if e := h.audited("rekey"); len(e) != 1 || e[0].On != original.id.String() {
		t.Errorf("audit log: %+v", e)
	}
	reborn := h.machine(8)
	reborn.member = original.member // it proves itself by its former certificate
	if answer := h.enrol(reborn, nil); answer.Outcome != api.Admitted {
		t.Fatalf("with its new identity: %+v", answer)
	}
	list, err := h.admin().Members(t.Context())
	if err != nil || len(list.Members) != 2 {
		t.Fatalf("members: %+v, %v", list, err)
	}
	for _, m := range list.Members {
		if m.ID == reborn.id && (m.CloneOf != original.id || m.Labels["rack"] != "7" || m.By != "clone "+original.id.String()) {
			t.Errorf("the clone: %+v", m)
		}
	}
	if d := next(t, h.session(reborn)); d.Plan == nil {
		t.Errorf("its session: %+v", d)
	}
	if !strings.Contains(h.logs.String(), "second machine with one identity") {
		t.Errorf("the log does not tell")
	}
}
