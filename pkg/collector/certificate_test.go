package collector

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

// bureau issues certificates as coordinatord does.
type bureau struct {
	mu      sync.Mutex
	ca      *trust.CA
	bundle  []byte // what is told to be believed
	ttl     time.Duration
	away    int   // so many requests fail
	trouble error // all of them do
	asked   []api.IssueRequest
}

func newBureau(t *testing.T, fleet string) *bureau {
	t.Helper()
	ca, err := trust.NewCA(fleet, rand.Reader, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return &bureau{ca: ca, bundle: ca.CertPEM(), ttl: time.Hour}
}

func (b *bureau) Issue(_ context.Context, r api.IssueRequest) (api.Enrolment, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.asked = append(b.asked, r)
	if b.away > 0 {
		b.away--
		return api.Enrolment{}, errors.New("nobody there")
	}
	if b.trouble != nil {
		return api.Enrolment{}, b.trouble
	}
	key, err := x509.ParsePKIXPublicKey(r.PublicKey)
	if err != nil {
		return api.Enrolment{}, err
	}
	issued, err := b.ca.Sign(trust.Request{Role: r.Role, Name: r.Name, TTL: b.ttl}, key, rand.Reader, time.Now())
	if err != nil {
		return api.Enrolment{}, err
	}
	return api.Enrolment{Outcome: api.Admitted, Certificate: string(issued.Cert), Bundle: string(b.bundle)}, nil
}

// again is POST /v1/renew: a new certificate for the key of the stored one.
func (b *bureau) again(c *certificate) (api.Enrolment, error) {
	der, err := x509.MarshalPKIXPublicKey(c.credentials.Leaf().PublicKey)
	if err != nil {
		return api.Enrolment{}, err
	}
	return b.Issue(context.Background(), api.IssueRequest{Role: trust.RoleCollector, Name: c.credentials.Identity().Name, PublicKey: der})
}

func (b *bureau) requests() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.asked)
}

// keeperIn is a certificate in dir that a bureau issues; nil: there is none.
func keeperIn(dir string, b *bureau) *certificate {
	c := &certificate{files: trust.FilesIn(dir, trust.RoleCollector), name: "hq", now: time.Now, random: rand.Reader, log: quiet(),
		foreign: func(context.Context, *trust.Credentials) bool { return false }}
	c.forget = func() error { return os.Remove(c.files.CA) }
	if b != nil {
		c.office = b
	}
	return c
}

func never(t *testing.T) func(error) {
	return func(err error) { t.Errorf("waits: %v", err) }
}

func TestAFirstStartGetsACertificateAndKeepsIt(t *testing.T) {
	dir, b := filepath.Join(t.TempDir(), "tls"), newBureau(t, "lab")
	first := keeperIn(dir, b)
	if err := first.open(t.Context(), never(t)); err != nil {
		t.Fatal(err)
	}
	want := trust.Identity{Fleet: "lab", Role: trust.RoleCollector, Name: "hq"}
	if got := first.credentials.Identity(); got != want {
		t.Errorf("got %v, want %v", got, want)
	}
	for path, mode := range map[string]fs.FileMode{first.files.Key: 0o600, first.files.CA: 0o644, dir: 0o700} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s: %v, %v; want mode %v", path, info.Mode(), err, mode)
		}
	}
	again := keeperIn(dir, b)
	if err := again.open(t.Context(), never(t)); err != nil || b.requests() != 1 || !again.credentials.Leaf().Equal(first.credentials.Leaf()) {
		t.Errorf("the second start: %v, %d requests; want the stored certificate", err, b.requests())
	}
}

func TestAStartWaitsForTheCoordinator(t *testing.T) {
	b := newBureau(t, "lab")
	b.away = 2
	told := 0
	c := keeperIn(t.TempDir(), b)
	if err := c.open(t.Context(), func(error) { told++ }); err != nil || told != 1 || b.requests() != 3 {
		t.Errorf("got %v; waited for %d reasons and asked %d times, want 1 and 3", err, told, b.requests())
	}
	b.trouble = errors.New("no")
	ctx, cancel := context.WithCancel(t.Context())
	if err := keeperIn(t.TempDir(), b).open(ctx, func(error) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("stopped while it waits: got %v", err)
	}
}

func TestWhatIsDoneWithAStoredCertificate(t *testing.T) {
	stored := func(b *bureau, name string) (dir string) {
		dir = t.TempDir()
		c := keeperIn(dir, b)
		c.name = name
		if err := c.open(t.Context(), never(t)); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	lab := newBureau(t, "lab")
	open := func(dir string, b *bureau, change func(*certificate)) (*certificate, error) {
		c := keeperIn(dir, b)
		if change != nil {
			change(c)
		}
		return c, c.open(t.Context(), never(t))
	}
	t.Run("of another name is used", func(t *testing.T) {
		if c, err := open(stored(lab, "old"), lab, nil); err != nil || c.credentials.Identity().Name != "old" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("put there by hand, without a coordinator on this host", func(t *testing.T) {
		if c, err := open(stored(lab, "hand"), nil, nil); err != nil || c.credentials.Identity().Name != "hand" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("missing, without a coordinator on this host", func(t *testing.T) {
		if _, err := open(t.TempDir(), nil, nil); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "cloudlessctl ca issue collectord") {
			t.Errorf("got %v, want what is to be done", err)
		}
	})
	t.Run("expired is replaced", func(t *testing.T) {
		dir := stored(lab, "hq")
		before := lab.requests()
		lab.ttl = 4 * time.Hour
		c, err := open(dir, lab, func(c *certificate) { c.now = later(2 * time.Hour) })
		if err != nil || lab.requests() != before+1 || c.credentials.NotAfter().Before(c.now()) {
			t.Errorf("got %v; %d requests, want one more than %d", err, lab.requests(), before)
		}
	})
	t.Run("of another fleet is replaced", func(t *testing.T) {
		prod, forgotten := newBureau(t, "prod"), 0
		c, err := open(stored(lab, "hq"), prod, func(c *certificate) {
			c.foreign = func(context.Context, *trust.Credentials) bool { return true }
			forget := c.forget
			c.forget = func() error { forgotten++; return forget() }
		})
		if err != nil || c.credentials.Identity().Fleet != "prod" || forgotten != 1 {
			t.Errorf("got %v, forgotten %d times", err, forgotten)
		}
	})
	t.Run("of another fleet stays when there is no other", func(t *testing.T) {
		prod := newBureau(t, "prod")
		prod.trouble = errors.New("no")
		c, err := open(stored(lab, "hq"), prod, func(c *certificate) {
			c.foreign = func(context.Context, *trust.Credentials) bool { return true }
		})
		if err != nil || c.credentials.Identity().Fleet != "lab" {
			t.Errorf("got %v", err)
		}
	})
	t.Run("with a key of mode 0644 is left as it is", func(t *testing.T) {
		dir := stored(lab, "hq")
		if err := os.Chmod(filepath.Join(dir, "collectord.key"), 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := open(dir, lab, nil); !errors.Is(err, trust.ErrKeyMode) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("without its key is replaced", func(t *testing.T) {
		dir := stored(lab, "hq")
		if err := os.Remove(filepath.Join(dir, "collectord.key")); err != nil {
			t.Fatal(err)
		}
		if _, err := open(dir, lab, nil); err != nil {
			t.Errorf("got %v", err)
		}
	})
}

func later(d time.Duration) func() time.Time {
	return func() time.Time { return time.Now().Add(d) }
}

// TestWhatIsIssuedIsLookedAt: nothing is stored that is not what was asked for.
func TestWhatIsIssuedIsLookedAt(t *testing.T) {
	b := newBureau(t, "lab")
	other := newBureau(t, "lab")
	c := keeperIn(t.TempDir(), b)
	good, err := b.Issue(t.Context(), requestFor(t, "hq"))
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string]api.Enrolment{
		"refused":             {Outcome: api.Refused, Reason: "full", Text: "no room"},
		"pending":             {Outcome: api.Pending},
		"another key":         good,
		"another bundle":      {Outcome: api.Admitted, Certificate: good.Certificate, Bundle: string(other.bundle)},
		"no certificate":      {Outcome: api.Admitted, Bundle: good.Bundle},
		"no bundle":           {Outcome: api.Admitted, Certificate: good.Certificate},
		"certificates as key": {Outcome: api.Admitted, Certificate: good.Bundle, Bundle: good.Bundle},
	} {
		_, private, err := newKeyPEM()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.install(answer, private, "hq", true); err == nil {
			t.Errorf("%s: stored", name)
		}
	}
	if entries, _ := os.ReadDir(filepath.Dir(c.files.Cert)); len(entries) != 0 {
		t.Errorf("left behind: %v", entries)
	}
}
