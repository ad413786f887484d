package collector

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
	"github.com/cloudless-fleet/cloudless/pkg/trust/trusttest"
)

func TestProbesAreSignedOnceTheCoordinatorVouches(t *testing.T) {
	fleet, o := trusttest.New(t, "lab"), newOffice()
	c := newCollector(t, fleet, o)
	if _, err := c.beacon.seal([]byte("x")); !errors.Is(err, errNoVoucher) || c.announce(time.Now()).Voucher != "" {
		t.Errorf("without a voucher: sealed, or %v", err)
	}
	if err := c.beacon.greet(t.Context()); err == nil {
		t.Errorf("a coordinator that does not vouch was understood")
	}
	o.ca = fleet.CA()
	var told api.CollectorHello
	o.welcome = func(hello api.CollectorHello, _ *api.CollectorWelcome) { told = hello }
	if err := c.beacon.greet(t.Context()); err != nil {
		t.Fatal(err)
	}
	if told.Hostname != "hq" || told.Port != announcedPort(c.port.Addr()) || told.Bundle != api.BundleDigest(fleet.Bundle()) {
		t.Errorf("told %+v", told)
	}
	unsealed := []byte("a probe")
	seal, err := c.beacon.seal(unsealed)
	if err != nil {
		t.Fatal(err)
	}
	worker, err := packet.NewVerifier(fleet.Bundle(), packet.DefaultWindowConfig())
	if err != nil {
		t.Fatal(err)
	}
	voucher := c.announce(time.Now()).Voucher
	if v := worker.Beacon(packet.ProbeInit, unsealed, seal, voucher, time.Now()); v.Reason != packet.OK {
		t.Errorf("a worker thinks: %v", v.Reason)
	}
	other, err := packet.NewVerifier(trusttest.New(t, "lab").Bundle(), packet.DefaultWindowConfig())
	if err != nil {
		t.Fatal(err)
	}
	if v := other.Beacon(packet.ProbeInit, unsealed, seal, voucher, time.Now()); v.Reason == packet.OK {
		t.Errorf("a worker of another fleet believes it")
	}

	c.beacon.now = later(2 * time.Hour) // the coordinator was away for too long
	if _, err := c.beacon.seal(unsealed); !errors.Is(err, errNoVoucher) || c.announce(time.Now()).Voucher != "" {
		t.Errorf("after the voucher's end: sealed, or %v", err)
	}
}

func TestTheBeaconKeyStays(t *testing.T) {
	fleet := trusttest.New(t, "lab")
	c := newCollector(t, fleet, newOffice())
	key := c.beacon.key
	if err := c.openBeacon(); err != nil || !c.beacon.key.Equal(key) {
		t.Errorf("opened again: %v, or another key", err)
	}
}

func TestWhatIsNoWelcome(t *testing.T) {
	fleet, o := trusttest.New(t, "lab"), newOffice()
	c := newCollector(t, fleet, o)
	o.ca = fleet.CA()
	good := ""
	for what, change := range map[string]func(api.CollectorHello, *api.CollectorWelcome){
		"no voucher":          func(_ api.CollectorHello, w *api.CollectorWelcome) { good, w.Voucher = w.Voucher, "" },
		"half a voucher":      func(_ api.CollectorHello, w *api.CollectorWelcome) { w.Voucher = w.Voucher[:50] },
		"no authority":        func(_ api.CollectorHello, w *api.CollectorWelcome) { w.Authority = [32]byte{} },
		"for another's key":   func(_ api.CollectorHello, w *api.CollectorWelcome) { w.Voucher = vouchedByOther(t, fleet) },
		"one that has passed": func(_ api.CollectorHello, w *api.CollectorWelcome) { w.Until = time.Now().Add(-time.Second) },
	} {
		o.welcome = change
		_ = c.beacon.greet(t.Context())
		if c.beacon.signer() != nil {
			t.Errorf("%s: probes are signed", what)
		}
	}
	if good == "" {
		t.Errorf("nobody was asked")
	}
}

func vouchedByOther(t *testing.T, fleet *trusttest.Fleet) string {
	t.Helper()
	public, _, err := newKeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	v, err := packet.Vouch(fleet.CA(), public, time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	return v.String()
}

// TestHellosFollowARollOver: the answer brings authorities and asks for a renewal.
func TestHellosFollowARollOver(t *testing.T) {
	fleet, o := trusttest.New(t, "lab"), newOffice()
	c := newCollector(t, fleet, o)
	o.ca = fleet.CA()
	both := string(fleet.CA().CertPEM()) + string(trusttest.New(t, "lab").CA().CertPEM())
	o.welcome = func(_ api.CollectorHello, w *api.CollectorWelcome) { w.Bundle, w.Renew = both, true }
	if err := c.beacon.greet(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(c.credentials.Bundle().Authorities); got != 2 {
		t.Errorf("%d authorities, want both", got)
	}
	if len(c.renewal.urgent) != 1 {
		t.Errorf("no renewal asked for")
	}
}

// TestTheCoordinatorHearsAtOnceWhomWeBelieve: a roll-over waits for it.
func TestTheCoordinatorHearsAtOnceWhomWeBelieve(t *testing.T) {
	fleet, o := trusttest.New(t, "lab"), newOffice()
	c := newCollector(t, fleet, o)
	o.ca = fleet.CA()
	both := string(fleet.CA().CertPEM()) + string(trusttest.New(t, "lab").CA().CertPEM())
	heard := make(chan string, 8)
	o.welcome = func(hello api.CollectorHello, w *api.CollectorWelcome) {
		heard <- hello.Bundle
		w.Bundle = both
	}
	background(t, c.beacon.run)
	first := <-heard
	if second := <-heard; second == first || second != bundleDigest(c.credentials) {
		t.Errorf("the second hello was of %s, the first of %s; want the new authorities", second, first)
	}
}

func TestTheServiceManagerIsToldWhatIsMissing(t *testing.T) {
	var told []string
	s := &situation{tell: func(text string) { told = append(told, text) }}
	s.set(waitCertificate, "no certificate")
	s.set(waitCertificate, "")
	s.set(waitVoucher, "no voucher")
	s.serves("collecting")
	s.set(waitVoucher, "no voucher") // the same is not told twice
	s.set(waitVoucher, "")
	want := "no certificate|no voucher|collecting"
	if got := strings.Join(told, "|"); got != want {
		t.Errorf("told %q, want %q", got, want)
	}
}
