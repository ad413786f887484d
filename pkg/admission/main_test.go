package admission

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/binary"
	"encoding/pem"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/boltfile"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/authority"
	"github.com/cloudless-fleet/cloudless/pkg/trust/enrol"
	"github.com/cloudless-fleet/cloudless/pkg/trust/token"
)

// Of the file, as its tests speak of them.
const (
	bucketMeta       = boltfile.BucketMeta
	bucketQuarantine = boltfile.BucketQuarantine
	keyFormat        = boltfile.KeyFormat
	valueVersion     = boltfile.ValueVersion
	valueHeader      = boltfile.ValueHeader
)

// TestMain fails when a goroutine of this package outlives the tests.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := leaked(); code == 0 && left != "" {
		fmt.Fprintf(os.Stderr, "goroutines left behind:\n%s\n", left)
		code = 1
	}
	os.Exit(code)
}

func leaked() (left string) {
	buf := make([]byte, 1<<20)
	for range 100 {
		left = ""
		for _, stack := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if strings.Contains(stack, "admission.(*Desk)") {
				left += stack + "\n\n"
			}
		}
		if left == "" {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	return left
}

// office is a desk with its fleet, at a time that the test moves on.
type office struct {
	*Desk
	t    testing.TB
	dir  string
	cfg  Config
	deps Deps

	mu      sync.Mutex
	now     time.Time
	revoked map[model.WorkerID]bool
	boots   map[model.WorkerID]model.BootID // as OnSession told
}

func testConfig() Config {
	cfg := DefaultConfig()
	cfg.EnrolRate, cfg.EnrolRatePerAddress = mostRate, mostRate
	return cfg
}

func newOffice(t testing.TB, cfg Config) *office {
	t.Helper()
	o := &office{t: t, dir: t.TempDir(), cfg: cfg, now: start(), revoked: map[model.WorkerID]bool{}, boots: map[model.WorkerID]model.BootID{}}
	fleet, err := authority.Open(t.TempDir(), "lab", rand.Reader, start())
	if err != nil {
		t.Fatal(err)
	}
	o.deps = Deps{Now: o.time, Authority: fleet, Revoked: o.isRevoked, OnSession: func(id model.WorkerID, boot model.BootID) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.boots[id] = boot
	}}
	o.open()
	t.Cleanup(func() { o.Close() })
	return o
}

func (o *office) open() {
	o.t.Helper()
	var err error
	if o.Desk, err = Open(o.dir, o.cfg, o.deps); err != nil {
		o.t.Fatal(err)
	}
}

// reopen is a restart, by which the desk may have changed its configuration.
func (o *office) reopen() {
	o.t.Helper()
	if err := o.Close(); err != nil {
		o.t.Fatal(err)
	}
	o.open()
}

// crash is a restart after kill -9: what was not written is lost.
func (o *office) crash() {
	o.t.Helper()
	if err := o.disk.Close(); err != nil {
		o.t.Fatal(err)
	}
	o.open()
}

func (o *office) time() time.Time {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.now
}

func (o *office) pass(d time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.now = o.now.Add(d)
}

func (o *office) isRevoked(id model.WorkerID, _ trust.Fingerprint) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.revoked[id]
}

func (o *office) boot(id model.WorkerID) model.BootID {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.boots[id]
}

// machine is one that wants to be let in.
type machine struct {
	id     model.WorkerID
	key    ed25519.PrivateKey
	name   string
	labels map[string]string
	from   netip.Addr
}

func testID(n int) model.WorkerID {
	sum := sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(n)))
	return model.WorkerIDFrom([16]byte(sum[:16]))
}

func machineOf(n int) machine {
	seed := sha256.Sum256(fmt.Append(nil, "machine ", n))
	return machine{id: model.WorkerIDFrom([16]byte(seed[:16])), key: ed25519.NewKeyFromSeed(seed[:]), name: fmt.Sprintf("web-%d", n),
		from: netip.AddrFrom4([4]byte{10, byte(n >> 8), byte(n), 1})}
}

func (m machine) public() ed25519.PublicKey { return m.key.Public().(ed25519.PublicKey) }

func (m machine) request(t testing.TB, join *token.Token, now time.Time) *enrol.Request {
	t.Helper()
	r := &enrol.Request{Worker: m.id, Hostname: m.name, Labels: m.labels}
	if err := r.Sign(m.key, join, rand.Reader, now); err != nil {
		t.Fatal(err)
	}
	return r
}

// enrol asks with a token, or nil.
func (o *office) enrol(m machine, join *token.Token) Answer {
	o.t.Helper()
	return o.Enrol(m.request(o.t, join, o.time()), m.from, model.WorkerID{})
}

func (o *office) renewal(m machine) Answer {
	o.t.Helper()
	r := &enrol.Renewal{Worker: m.id, Hostname: m.name, Authority: o.deps.Authority.Fingerprint()}
	if err := r.Sign(m.key, rand.Reader, o.time()); err != nil {
		o.t.Fatal(err)
	}
	return o.Renewal(r, m.from)
}

func (o *office) token(spec TokenSpec) *token.Token {
	o.t.Helper()
	made, _, err := o.CreateToken(spec)
	if err != nil {
		o.t.Fatal(err)
	}
	return &made
}

// member lets a machine in by a token.
func (o *office) member(m machine) Member {
	o.t.Helper()
	return o.want(o.enrol(m, o.token(TokenSpec{})), OutcomeAdmitted, "").Member
}

// want fails the test unless the answer is that, and is complete.
func (o *office) want(a Answer, outcome Outcome, reason string) Answer {
	o.t.Helper()
	if a.Outcome != outcome || a.Reason != reason {
		o.t.Fatalf("answer %s %q (%s), want %s %q", a.Outcome, a.Reason, a.Text, outcome, reason)
	}
	if a.Text == "" || (len(a.Certificate) > 0) != (outcome == OutcomeAdmitted) || (len(a.Bundle) > 0) != (outcome == OutcomeAdmitted) ||
		a.Member.ID.IsZero() == (outcome == OutcomeAdmitted) {
		o.t.Fatalf("answer is not complete: %+v", a)
	}
	return a
}

// leafOf reads the certificate of an answer.
func leafOf(t testing.TB, a Answer) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode(a.Certificate)
	if block == nil {
		t.Fatal("no certificate")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return leaf
}
