package worker

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/member"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/trust/enrol"
	"github.com/cloudless-fleet/cloudless/pkg/trust/home"
	"github.com/cloudless-fleet/cloudless/pkg/trust/pairing"
)

// loopbackTown listens on this host.
func loopbackTown(t *testing.T, name string) *town {
	t.Helper()
	v := newTown(t, name)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	v.open(listener)
	return v
}

// shell calls workerd's verbs.
type shell struct {
	t   *testing.T
	env environment
	cfg Config
}

func newShell(t *testing.T) *shell { return &shell{t, surroundings(t, 1, nil), modest(t)} }

func (s *shell) call(verb string, flags []string, args ...string) (stdout string, err error) {
	s.t.Helper()
	var out bytes.Buffer
	call := daemon.Call[Config]{Args: args, Load: func() (Config, error) { return s.cfg, nil }, Stdout: &out, Stderr: &out}
	if verb == "status" {
		_, err := s.env.showStatus(s.t.Context(), call)
		return out.String(), err
	}
	for _, one := range verbs(s.env) {
		if one.Name != verb {
			continue
		}
		set := newFlagSet()
		if one.Flags != nil {
			one.Flags(set)
		}
		if err := set.Parse(flags); err != nil {
			s.t.Fatal(err)
		}
		err := one.Run(s.t.Context(), call)
		return out.String(), err
	}
	s.t.Fatalf("no verb %q", verb)
	return "", nil
}

func (s *shell) want(got string, err error, stdout, failure string) {
	s.t.Helper()
	if (err == nil) != (failure == "") || err != nil && !strings.Contains(err.Error(), failure) {
		s.t.Errorf("got %v, want %q", err, failure)
	}
	if !strings.Contains(got, stdout) {
		s.t.Errorf("printed %q, want %q", got, stdout)
	}
}

func (s *shell) dir() stateDir { return stateDir(s.cfg.StateDirectory) }

func TestJoinAtOnce(t *testing.T) {
	v, s := loopbackTown(t, ours), newShell(t)
	join := v.token(v.address)
	s.env.stdin = strings.NewReader(join.Reveal() + "\n")
	out, err := s.call("join", nil, "-")
	s.want(out, err, "joined fleet lab as worker ", "")
	h, err := home.Look(s.cfg.StateDirectory)
	if err != nil {
		t.Fatal(err)
	}
	if fleet, ok := h.Enrolled(); !ok || fleet != ours || !strings.Contains(out, h.Worker().String()) {
		t.Errorf("enrolled %q, %v; printed %q", fleet, ok, out)
	}
	if exists(s.dir().path(tokenFile)) {
		t.Error("the token was kept")
	}
	out, err = s.call("join", nil, join.Reveal())
	s.want(out, err, "in fleet lab already", "")
	other := loopbackTown(t, "factory")
	out, err = s.call("join", nil, other.token(other.address).Reveal())
	s.want(out, err, "", `is a member of fleet "lab"; `+"`workerd prepare-image`")
	if len(other.seen().requests) != 0 {
		t.Errorf("the other fleet was asked %q", other.seen().requests)
	}
	out, err = s.call("status", nil)
	s.want(out, err, "fleet:        lab\n", "")
	s.want(out, err, v.ca.Fingerprint().String(), "")
	s.want(out, err, "certificate:  until ", "")
}

func TestJoinLater(t *testing.T) {
	v, s := loopbackTown(t, ours), newShell(t)
	out, err := s.call("join", nil, v.token().Reveal())
	s.want(out, err, "joins when it hears the call of fleet lab", "")
	info, err := os.Stat(s.dir().path(tokenFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("token file %v, %v; want mode 0600", info, err)
	}
	if len(v.seen().requests) != 0 {
		t.Errorf("asked %q", v.seen().requests)
	}
}

func TestJoinThatFails(t *testing.T) {
	v, s := loopbackTown(t, ours), newShell(t)
	v.judge = func(*enrol.Request, member.Peer) api.Enrolment {
		return api.Enrolment{Outcome: api.Refused, Reason: "token_used_up", Text: "\x1b[2Jall uses are spent"}
	}
	join := v.token(v.address)
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(join.Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := s.call("join", []string{"--token-file", file})
	s.want(out, err, "", "refuses this machine: token_used_up: ?[2Jall uses are spent")
	if exists(s.dir().path(tokenFile)) {
		t.Error("a token that is worth nothing was stored")
	}
	impostor := loopbackTown(t, ours)
	out, err = s.call("join", nil, v.token(impostor.address).Reveal())
	s.want(out, err, "workerd will go on trying", "does not belong to the expected authority")
	if len(impostor.seen().requests) != 0 {
		t.Errorf("the impostor was asked %q", impostor.seen().requests)
	}
	for _, args := range [][]string{{}, {"a", "b"}} {
		_, err := s.call("join", nil, args...)
		if _, usage := errors.AsType[*daemon.UsageError](err); !usage {
			t.Errorf("%q: got %v, want a usage error", args, err)
		}
	}
	secret := join.Reveal()[:60]
	_, err = s.call("join", nil, secret)
	s.want("", err, "", "typo or cut off")
	if strings.Contains(err.Error(), secret[20:]) {
		t.Errorf("the error holds the token: %v", err)
	}
	s.cfg.Enrol.Fleet = "factory"
	_, err = s.call("join", nil, join.Reveal())
	s.want("", err, "", `the token is of fleet "lab", and enrol.fleet is "factory"`)
}

// running starts workerd of the shell's machine on this host's network.
func (s *shell) running() (log *lines, stop func()) {
	s.t.Helper()
	return embed(s.t, s.env, s.cfg)
}

func TestJoinByTheRunningDaemon(t *testing.T) {
	v, s := loopbackTown(t, ours), newShell(t)
	log, stop := s.running()
	out, err := s.call("prepare-image", nil)
	s.want(out, err, "", "workerd is running")
	out, err = s.call("join", nil, v.token(v.address).Reveal())
	s.want(out, err, "joined fleet lab as worker ", "")
	out, err = s.call("status", nil)
	if s.want(out, err, "standing:", ""); !strings.Contains(out, " member\n") {
		t.Errorf("printed %q, want a member", out)
	}
	eventually(t, log, func() bool { return strings.Contains(log.String(), "session admitted") }) // who is not there says no goodbye
	stop()
	if v.asked("leave") != 1 {
		t.Errorf("asked %q, want a goodbye", v.seen().requests)
	}

	before, err := home.Look(s.cfg.StateDirectory)
	if err != nil {
		t.Fatal(err)
	}
	leftover := s.dir().path(".worker.key.123")
	if err := os.WriteFile(leftover, []byte("half a key"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err = s.call("prepare-image", nil)
	s.want(out, err, "has forgotten who it was", "")
	entries, err := os.ReadDir(s.cfg.StateDirectory)
	if err != nil || len(entries) != 0 {
		t.Errorf("%v, %v are left", entries, err)
	}
	out, err = s.call("status", nil)
	s.want(out, err, "no identity yet", "")
	_, stop = s.running()
	stop()
	after, err := home.Look(s.cfg.StateDirectory)
	if err != nil || after.Worker() == before.Worker() {
		t.Errorf("worker %v, %v; want another than before", after, err)
	}
}

func TestARefusalReachesWhoeverJoins(t *testing.T) {
	v, s := loopbackTown(t, ours), newShell(t)
	v.judge = func(*enrol.Request, member.Peer) api.Enrolment {
		return api.Enrolment{Outcome: api.Refused, Reason: "token_revoked", Text: "revoked by alice"}
	}
	s.running()
	out, err := s.call("join", nil, v.token(v.address).Reveal())
	s.want(out, err, "", "refuses this machine: token_revoked: revoked by alice")
}

func TestStatusShowsThePairingCode(t *testing.T) {
	s := newShell(t)
	out, err := s.call("status", nil)
	s.want(out, err, "never started", "")
	v := loopbackTown(t, ours)
	v.judge = func(*enrol.Request, member.Peer) api.Enrolment {
		return api.Enrolment{Outcome: api.Pending, Fleet: ours, Code: "made-up"}
	}
	s.cfg.Enrol.Coordinators = []string{v.address}
	log, _ := s.running()
	eventually(t, log, func() bool { s, err := readStatus(s.dir()); return err == nil && s.Standing == standingPending })
	h, err := home.Look(s.cfg.StateDirectory)
	if err != nil {
		t.Fatal(err)
	}
	out, err = s.call("status", nil)
	s.want(out, err, "cloudlessctl workers approve "+pairing.Of(h.PublicKey()).String(), "")
}

func TestTwoDaemonsDoNotShareAFolder(t *testing.T) {
	s := newShell(t)
	s.running()
	err := daemon.Embed(context.Background(), spec(s.env), s.cfg, quiet(), nil)
	if !errors.Is(err, errInUse) {
		t.Errorf("got %v, want %v", err, errInUse)
	}
}
