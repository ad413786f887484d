package fleettest

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/audit"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// cutWithin is what is promised of a revocation.
const cutWithin = 2 * time.Second

// TestARevokedWorkerIsCutAndKeptOut revokes a worker whose stream and session are
// open, and tries its certificate from elsewhere. The worker is frozen meanwhile,
// so that it ends nothing itself.
func TestARevokedWorkerIsCutAndKeptOut(t *testing.T) {
	t.Parallel()
	f := newFleet(t, "10.77.7.0/24", "w1", "w2")
	w1, thief := f.workers[0], f.lan.plug("thief")
	f.startServers()
	frozen := f.start(w1, "workerd").cmd.Process
	f.start(f.workers[1], "workerd")
	f.eventually(2*probeInterval+3*slack, "the fleet works", f.flowing("w1", "w2"))
	stolen := f.credentials(w1)
	ports := map[string]string{
		"collectord":   net.JoinHostPort(f.hq.addr.String(), fmt.Sprint(model.PortCollector)),
		"coordinatord": net.JoinHostPort(f.hq.addr.String(), fmt.Sprint(model.PortCoordinator)),
	}
	tries := map[string]func(addr string) error{"collectord": thief.tryStream(t, stolen), "coordinatord": thief.tryControl(t, stolen)}
	for daemon, try := range tries {
		if err := try(ports[daemon]); err != nil {
			t.Fatalf("a certificate that is good does not work with %s: %v", daemon, err)
		}
	}

	open := f.connectionsOf(w1)
	if len(open) < 2 {
		t.Fatalf("open connections of w1 are %v, want a stream and a session at least", open)
	}
	if err := frozen.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { frozen.Signal(syscall.SIGCONT) })
	begun := time.Now()
	if _, err := f.ctl(f.hq, "workers", "revoke", "w1", "--reason", "stolen"); err != nil {
		t.Fatal(err)
	}
	f.eventually(cutWithin, "its connections are cut", func() error {
		for _, now := range f.connectionsOf(w1) {
			if slices.Contains(open, now) {
				return fmt.Errorf("%s is open", now)
			}
		}
		return nil
	})
	took := time.Since(begun)
	if took > cutWithin {
		t.Errorf("cut after %v, want %v", took, cutWithin)
	}
	t.Logf("all %d connections were cut %v after the command was given", len(open), took.Round(time.Millisecond))
	if err := frozen.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}

	for daemon, try := range tries {
		if err := try(ports[daemon]); err == nil {
			t.Errorf("%s lets a revoked certificate in", daemon)
		} else {
			t.Logf("%s: %v", daemon, err)
		}
	}
	f.eventually(slack, "it has left the fleet, and its series have ended", func() error {
		if samples, err := f.query(`node_load1{instance="w1"}`); err != nil || len(samples) != 0 {
			return fmt.Errorf("%d samples, %v", len(samples), err)
		}
		return f.inState(model.Left, "w1")()
	})
	f.eventually(2*slack, "it knows why", func() error {
		if said := w1.tells(program("workerd"), "status", "--config", f.path(settings(w1, "workerd"))); !strings.Contains(said, "revoked") {
			return fmt.Errorf("workerd status says:\n%s", said)
		}
		return nil
	})
	if err := f.flowing("w2")(); err != nil {
		t.Errorf("another worker suffered: %v", err)
	}
	revoked := slices.ContainsFunc(f.audited(f.hq, "coordinatord"), func(e audit.Entry) bool {
		return e.What == audit.Revoke && e.OK && e.Who == "root" && e.On == f.identity(w1).Worker().String() && e.More["reason"] == "stolen"
	})
	if !revoked {
		t.Error("the audit log does not say who has revoked it, and why")
	}

	if _, err := f.ctl(f.hq, "workers", "readmit", "w1"); err != nil {
		t.Fatal(err)
	}
	f.restart(w1, "workerd")
	f.eventually(2*probeInterval+2*slack, "it is back under its name", f.inState(model.Registered, "w1"))
	f.eventually(2*slack, "its frames arrive again", f.flowing("w1"))
}

// tells is output of a program whose exit code does not matter.
func (h *host) tells(program string, args ...string) string {
	out, _ := h.command(h.lan.t.Context(), program, args...).CombinedOutput()
	return string(out)
}

// connectionsOf are the TCP connections between a host and the servers, as the
// kernel of the servers' host lists them: addresses and ports of both ends.
func (f *fleet) connectionsOf(w *host) []string {
	f.t.Helper()
	remote := addressInHex(w)
	var found []string
	for line := range strings.Lines(f.hq.output("cat", "/proc/net/tcp", "/proc/net/tcp6")) {
		fields := strings.Fields(line)
		const established = "01"
		if len(fields) > 3 && fields[3] == established && strings.Contains(fields[2], remote+":") {
			found = append(found, fields[1]+" "+fields[2])
		}
	}
	return found
}

// addressInHex is how /proc/net/tcp spells a host's address; /proc/net/tcp6 ends
// with the same.
func addressInHex(h *host) string {
	bytes := h.addr.As4()
	return fmt.Sprintf("%02X%02X%02X%02X", bytes[3], bytes[2], bytes[1], bytes[0])
}

// tryStream is whether collectord talks to somebody with these credentials: its
// end of the handshake is over when it has said something, or stays silent.
func (h *host) tryStream(t *testing.T, with *trust.Credentials) func(addr string) error {
	return func(addr string) error {
		conn := tls.Client(h.dial(t, "tcp", addr), with.Client(trust.RoleCollector, stream.ALPN))
		defer conn.Close()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := conn.HandshakeContext(ctx); err != nil {
			return err
		}
		conn.SetReadDeadline(time.Now().Add(time.Second))
		_, err := conn.Read(make([]byte, 1))
		if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
			return nil // it waits for us
		}
		return err
	}
}

// tryControl is whether coordinatord takes a keep-alive of somebody with these
// credentials.
func (h *host) tryControl(t *testing.T, with *trust.Credentials) func(addr string) error {
	return func(addr string) error {
		transport := &http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: with.Client(trust.RoleCoordinator, "h2"),
			DialContext: func(_ context.Context, network, addr string) (net.Conn, error) { return h.dial(t, network, addr), nil }}
		defer transport.CloseIdleConnections()
		client, err := api.NewMemberClient("https://"+addr, &http.Client{Transport: transport, Timeout: 10 * time.Second})
		if err != nil {
			return err
		}
		_, err = client.KeepAlive(t.Context(), api.KeepAlive{Boot: model.BootIDFrom([16]byte{1}), Body: trust.Body{1}, Now: model.Millis(time.Now().UnixMilli())})
		return err
	}
}
