package worker

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/fstest"
	"testing/synctest"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/api/member"
	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/daemon"
	"github.com/cloudless-fleet/cloudless/pkg/discovery"
	"github.com/cloudless-fleet/cloudless/pkg/kernel"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/sampler"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/enrol"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// town is a fleet's coordinator as a worker sees it: real TLS, real handlers,
// and decisions that a test makes.
type town struct {
	t           testing.TB
	name        string
	ca          *trust.CA
	credentials *trust.Credentials
	ttl         time.Duration // of certificates
	address     string

	mu sync.Mutex // guards what follows
	record
	judge    func(*enrol.Request, member.Peer) api.Enrolment
	keys     map[model.WorkerID]ed25519.PublicKey
	bundle   trust.Bundle
	refused  map[model.WorkerID]bool // revoked
	alive    api.KeepAliveResult
	register func(*crm.ProbeAck) *crm.RegisterAck
	hello    api.Directive // the first line of every session
	skew     time.Duration // of the town's clock
}

// record is what a town remembers of those who came.
type record struct {
	requests []string // what was asked, in order
	enrolled []enrol.Request
	former   []model.WorkerID // the certificates that enrolments came with
	acks     []*crm.ProbeAck
	boots    []model.BootID // of sessions
	serials  []string       // of the certificates that they were opened with
	live     *meeting       // the newest session
}

// seen is a copy of what the town remembers.
func (v *town) seen() record {
	v.mu.Lock()
	defer v.mu.Unlock()
	r := v.record
	r.requests, r.enrolled, r.former = slices.Clone(r.requests), slices.Clone(r.enrolled), slices.Clone(r.former)
	r.acks, r.boots, r.serials = slices.Clone(r.acks), slices.Clone(r.boots), slices.Clone(r.serials)
	return r
}

// meeting is an open session.
type meeting struct {
	peer  member.Peer
	hello api.Session
	say   chan api.Directive
	end   chan error
}

// tell has the coordinator send a directive.
func (v *town) tell(d api.Directive) {
	v.t.Helper()
	v.seen().live.say <- d
}

// close has the coordinator end the session.
func (v *town) close(err error) { v.seen().live.end <- err }

func newTown(t testing.TB, name string) *town {
	t.Helper()
	ca, err := trust.NewCA(name, rand.Reader, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	v := &town{t: t, name: name, ca: ca, ttl: 6 * time.Hour, keys: map[model.WorkerID]ed25519.PublicKey{}, refused: map[model.WorkerID]bool{},
		alive: api.KeepAliveResult{Renewed: true, Session: true}, hello: api.Directive{Plan: &api.Plan{Revision: 1, Profile: "default"}}}
	v.bundle, err = trust.ParseBundle(ca.CertPEM())
	if err != nil {
		t.Fatal(err)
	}
	v.judge = func(r *enrol.Request, _ member.Peer) api.Enrolment { return v.admit(r.Worker, r.PublicKey) }
	v.certify()
	return v
}

// certify makes the coordinator's own certificate anew.
func (v *town) certify() {
	issued, err := v.ca.Issue(trust.Request{Role: trust.RoleCoordinator, Name: "hq", TTL: 365 * 24 * time.Hour}, rand.Reader, time.Now())
	if err == nil {
		v.credentials, err = trust.NewCredentials(v.bundle, issued, time.Now)
	}
	if err != nil {
		v.t.Fatal(err)
	}
}

// admit issues a certificate.
func (v *town) admit(id model.WorkerID, key ed25519.PublicKey) api.Enrolment {
	issued, err := v.ca.Sign(trust.Request{Role: trust.RoleWorker, Name: id.String(), TTL: v.ttl}, key, rand.Reader, time.Now())
	if err != nil {
		return api.Enrolment{Outcome: api.Refused, Reason: "malformed", Text: err.Error()}
	}
	v.keys[id] = key
	return api.Enrolment{Outcome: api.Admitted, Fleet: v.name, Certificate: string(issued.Cert), Bundle: string(v.bundle.PEM())}
}

func (v *town) note(what string) { v.requests = append(v.requests, what) }

func (v *town) Enrol(_ context.Context, r *enrol.Request, peer member.Peer) api.Enrolment {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.note("enrol")
	if verdict := r.Check(v.bundle.Fingerprints(), time.Now()); !verdict.OK() {
		return api.Enrolment{Outcome: api.Refused, Reason: verdict.Reason.String()}
	}
	v.enrolled, v.former = append(v.enrolled, *r), append(v.former, peer.Worker())
	return v.judge(r, peer)
}

func (v *town) Renewal(_ context.Context, r *enrol.Renewal, _ member.Peer) api.Enrolment {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.note("renewal")
	known := enrol.Known{Revoked: v.refused[r.Worker]}
	if key := v.keys[r.Worker]; key != nil {
		known.Key, _ = trust.FingerprintOf(key)
	}
	if verdict := r.Check(v.bundle.Fingerprints(), known, time.Now()); !verdict.OK() {
		return api.Enrolment{Outcome: api.Refused, Reason: verdict.Reason.String()}
	}
	return v.admit(r.Worker, r.PublicKey)
}

func (v *town) Renew(_ context.Context, peer member.Peer) api.Enrolment {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.note("renew")
	return v.admit(peer.Worker(), v.keys[peer.Worker()])
}

func (v *town) Register(_ context.Context, _ member.Peer, ack *crm.ProbeAck) (*crm.RegisterAck, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.note("register")
	v.acks = append(v.acks, ack)
	if v.register == nil {
		return nil, errors.New("nobody registers here")
	}
	return v.register(ack), nil
}

func (v *town) KeepAlive(context.Context, member.Peer, api.KeepAlive) (api.KeepAliveResult, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.note("keepalive")
	result := v.alive
	result.Now = model.Millis(time.Now().Add(v.skew).UnixMilli())
	return result, nil
}

func (v *town) Session(ctx context.Context, peer member.Peer, s api.Session, send func(api.Directive) error) error {
	m := &meeting{peer: peer, hello: s, say: make(chan api.Directive), end: make(chan error, 1)}
	v.mu.Lock()
	v.note("session")
	v.live, v.boots, v.serials = m, append(v.boots, s.Boot), append(v.serials, peer.Leaf.SerialNumber.String())
	first := v.hello
	v.mu.Unlock()
	if err := send(first); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-m.end:
			return err
		case d := <-m.say:
			if err := send(d); err != nil {
				return err
			}
		}
	}
}

func (v *town) Leave(context.Context, member.Peer, api.Leave) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.note("leave")
	return nil
}

// with looks at the town's memory.
func (v *town) with(look func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	look()
}

// asked counts requests.
func (v *town) asked(what string) (n int) {
	v.with(func() {
		for _, one := range v.requests {
			if one == what {
				n++
			}
		}
	})
	return n
}

// open serves on a listener until the test ends.
func (v *town) open(listener net.Listener) {
	handlers := member.New(v, member.Config{MaxSessions: 100}, member.Deps{Logger: quiet(), Now: time.Now,
		Refuse: func(_ *x509.Certificate, who trust.Identity) error {
			id, _ := who.WorkerID()
			v.mu.Lock()
			defer v.mu.Unlock()
			if v.refused[id] {
				return trust.ErrRevoked
			}
			return nil
		}})
	mux := http.NewServeMux()
	handlers.Register(mux, func(_ string, next http.Handler) http.Handler { return next })
	server := &http.Server{Handler: mux, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	v.address = listener.Addr().String()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(tls.NewListener(listener, v.credentials.Server(protocols[:], trust.ClientOptional)))
	}()
	v.t.Cleanup(func() { _ = server.Close(); <-done })
}

// token makes a join token of the town.
func (v *town) token(addresses ...string) token.Token {
	join, err := token.New(v.name, v.ca.Fingerprint(), addresses, rand.Reader)
	if err != nil {
		v.t.Fatal(err)
	}
	return join
}

// lines is a log that many write and a test reads.
type lines struct {
	mu  sync.Mutex
	all bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.String()
}

// machine has facts like no other's of another number.
func machine(n byte) fstest.MapFS {
	hex := fmt.Sprintf("%02x", n)
	return fstest.MapFS{
		"etc/machine-id":                      {Data: []byte("0123456789abcdef0123456789abcd" + hex + "\n")},
		"sys/class/dmi/id/product_uuid":       {Data: []byte("4c4c4544-0044-4a10-8051-b4c04f3732" + hex + "\n")},
		"sys/class/net/eth0/address":          {Data: []byte("02:42:ac:11:00:" + hex + "\n")},
		"sys/class/net/eth0/device":           {Data: nil},
		"sys/class/net/eth0/addr_assign_type": {Data: []byte("0\n")},
	}
}

// surroundings are of machine n on a wire; nil: on this host's network.
func surroundings(t testing.TB, n byte, on *wire) environment {
	t.Helper()
	env := environment{machine: machine(n), kernel: kernel.FS{Proc: t.TempDir(), Sys: t.TempDir(), Root: t.TempDir()}, now: time.Now, random: rand.Reader,
		jitter: func() float64 { return 0.5 }, getenv: func(string) string { return "" },
		hostname: func() (string, error) { return fmt.Sprintf("web-%d", n), nil }}
	if on != nil {
		env.dial = on.dial
	} else {
		env.dial = (&net.Dialer{}).DialContext
	}
	return env
}

// modest is a configuration that needs nothing of the host.
func modest(t testing.TB) Config {
	cfg := DefaultConfig()
	cfg.StateDirectory = filepath.Join(t.TempDir(), "state")
	cfg.Discovery.Listen, cfg.Discovery.Multicast = "127.0.0.1:0", false
	cfg.Sampling.Interval = time.Hour
	cfg.Sampling.Collectors = sampler.Config{}.Collectors
	cfg.Sampling.Collectors.Filesystem.MountTimeout, cfg.Sampling.Collectors.Filesystem.StatWorkers = time.Second, 1
	cfg.Enrol.TokenFile = filepath.Join(t.TempDir(), "none")
	return cfg
}

// resident is a workerd without its UDP port, in virtual time.
type resident struct {
	*worker
	t    *testing.T
	log  *lines
	told []string // status lines
	stop func()
}

// settle starts the membership of a machine.
func settle(t *testing.T, env environment, cfg Config) *resident {
	t.Helper()
	r := prepare(t, env, cfg)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 2)
	go func() { done <- r.belong(ctx) }()
	go func() { done <- r.status.run(ctx) }()
	r.stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, <-done); err != nil {
			t.Errorf("membership: %v", err)
		}
	})
	t.Cleanup(r.stop)
	synctest.Wait()
	return r
}

// start is settle for a machine with a token.
func start(t *testing.T, env environment, cfg Config, join token.Token) *resident {
	t.Helper()
	dir := stateDir(cfg.StateDirectory)
	err := dir.make()
	if err == nil {
		err = dir.write(tokenFile, []byte(join.Reveal()+"\n"), false)
	}
	if err != nil {
		t.Fatal(err)
	}
	return settle(t, env, cfg)
}

func prepare(t *testing.T, env environment, cfg Config) *resident {
	t.Helper()
	r := &resident{t: t, log: &lines{}}
	r.worker = &worker{cfg: cfg, env: env, log: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		build: daemon.Build{Version: "v1"}, tell: func(text string) { r.told = append(r.told, text) }, state: stateDir(cfg.StateDirectory)}
	if err := r.state.make(); err != nil {
		t.Fatal(err)
	}
	if err := r.open(); err != nil {
		t.Fatal(err)
	}
	var err error
	if r.responder, err = discovery.NewResponder(cfg.Discovery, discovery.ResponderDeps{Handler: r.port, Judge: r.port.judge, Screen: r.port.screen,
		Seal: r.port.seal, Logger: quiet()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.responder.Close() })
	r.self.port = 10300
	return r
}

// give puts a token where `workerd join` does.
func (r *resident) give(join token.Token) {
	r.t.Helper()
	if err := r.state.write(tokenFile, []byte(join.Reveal()), false); err != nil {
		r.t.Fatal(err)
	}
}

// after lets time pass and compares where the machine stands.
func (r *resident) after(d time.Duration, want standing) {
	r.t.Helper()
	time.Sleep(d)
	synctest.Wait()
	if s := r.status.view(); s.Standing != want {
		r.t.Fatalf("after %v: %s (%s), last error %q; want %s\n%s", d, s.Standing, s.Text, s.Error, want, r.log)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
