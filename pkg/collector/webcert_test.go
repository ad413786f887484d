package collector

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/trusttest"
)

// webOffice is an office with an authority for browsers.
func webOffice(t *testing.T) *office {
	t.Helper()
	o := newOffice()
	var err error
	if o.web, err = trust.NewWebCA("lab", rand.Reader, time.Now()); err != nil {
		t.Fatal(err)
	}
	return o
}

// shown is the certificate that a client is shown who asks by a name.
func (c *collector) shown(t *testing.T, serverName string) *x509.Certificate {
	t.Helper()
	conn, err := tls.Dial("tcp", c.port.Addr().String(), &tls.Config{ServerName: serverName, InsecureSkipVerify: true, NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	return conn.ConnectionState().PeerCertificates[0]
}

func TestBrowsersAreShownACertificateThatTheyUnderstand(t *testing.T) {
	o := webOffice(t)
	c := newCollector(t, trusttest.New(t, "lab"), o, func(cfg *Config) { cfg.Web.Hosts = []string{"Monitor.example.com"} })
	ofFleet := func(cert *x509.Certificate) bool { _, is := cert.PublicKey.(ed25519.PublicKey); return is }
	if !ofFleet(c.shown(t, "monitor.example.com")) {
		t.Errorf("before the coordinator has answered: no certificate of the fleet")
	}
	if err := c.web.renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"monitor.example.com", "localhost", "192.0.2.7", ""} {
		if _, is := c.shown(t, name).PublicKey.(*ecdsa.PublicKey); !is {
			t.Errorf("%q: shown a certificate that no browser understands", name)
		}
	}
	for _, name := range []string{"collectord.lab.cloudless.internal", "Collectord.LAB.Cloudless.Internal", "x.cloudless.internal"} {
		if !ofFleet(c.shown(t, name)) {
			t.Errorf("%q: not shown the certificate of the fleet", name)
		}
	}

	// As a browser would that was told to trust the authority.
	roots := x509.NewCertPool()
	roots.AddCert(o.web.Certificate())
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, c.port.Addr().String())
		}}
	defer transport.CloseIdleConnections()
	for _, host := range []string{"monitor.example.com", "localhost", "127.0.0.1"} {
		if status, body := ask(t, &http.Client{Transport: transport}, "https://"+host+api.PathHealthy); status != http.StatusOK {
			t.Errorf("%s: %d %s", host, status, body)
		}
	}
}

func TestAWebCertificateIsKeptAndRenewed(t *testing.T) {
	path, o := filepath.Join(t.TempDir(), webFile), webOffice(t)
	open := func(now func() time.Time, hosts ...string) *webCertificate {
		w := &webCertificate{path: path, hosts: hosts, ask: o.clients(t).admin.Web, now: now, random: rand.Reader, log: quiet()}
		w.load()
		return w
	}
	first := open(time.Now, "a.example")
	if !first.due() {
		t.Fatalf("none is there, and none is wanted")
	}
	if err := first.renew(t.Context()); err != nil || first.due() || !first.get().Leaf.NotAfter.Equal(first.notAfter()) {
		t.Fatalf("got %v, due %v", err, first.due())
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("its file: %v, %v", info.Mode(), err)
	}
	if again := open(time.Now, "a.example"); again.due() || !again.get().Leaf.Equal(first.get().Leaf) {
		t.Errorf("after a restart: another one, or due")
	}
	if open(later(20*24*time.Hour), "a.example").due() || !open(later(61*24*time.Hour), "a.example").due() {
		t.Errorf("due not after two thirds of 90 days")
	}
	if !open(time.Now, "a.example", "b.example").due() {
		t.Errorf("not due although it is not good for a name")
	}
	if ended := open(later(91*24*time.Hour), "a.example"); ended.get() != nil {
		t.Errorf("one that has ended is shown")
	}
	if err := os.WriteFile(path, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if damaged := open(time.Now, "a.example"); !damaged.due() || !damaged.notAfter().IsZero() {
		t.Errorf("a damaged one is used")
	}
	f := func(what string, answer api.WebCertificate, err error) {
		t.Helper()
		w := open(time.Now)
		w.ask = func(context.Context, api.WebRequest) (api.WebCertificate, error) { return answer, err }
		if w.renew(t.Context()) == nil {
			t.Errorf("%s: taken", what)
		}
	}
	f("no answer", api.WebCertificate{}, errors.New("away"))
	f("no certificate", api.WebCertificate{Certificate: "x"}, nil)
	f("for another key", api.WebCertificate{Certificate: string(o.web.CertPEM())}, nil)
}

func TestAnOwnCertificateForBrowsers(t *testing.T) {
	o, dir := webOffice(t), t.TempDir()
	own := &webCertificate{path: filepath.Join(dir, "own.pem"), hosts: []string{"own.example"}, ask: o.clients(t).admin.Web, now: time.Now, random: rand.Reader, log: quiet()}
	if err := own.renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	web := func(cfg *Config) { cfg.Web.Cert, cfg.Web.Key = own.path, own.path }
	c := newCollector(t, trusttest.New(t, "lab"), o, web)
	first := c.shown(t, "own.example")
	if !first.Equal(own.get().Leaf) {
		t.Errorf("not shown")
	}
	if err := own.renew(t.Context()); err != nil {
		t.Fatal(err)
	}
	reload := func(change func(*Config)) error {
		next := c.cfg
		change(&next)
		apply, err := c.prepareReload(t.Context(), next)
		if err == nil {
			apply()
		}
		c.tellReload(err)
		return err
	}
	if err := reload(func(*Config) {}); err != nil || c.shown(t, "own.example").Equal(first) {
		t.Errorf("reloaded with %v: the former one is shown", err)
	}
	for what, change := range map[string]func(*Config){
		"a missing file": func(cfg *Config) { cfg.Web.Cert = filepath.Join(dir, "none") },
		"none any more":  func(cfg *Config) { cfg.Web.Cert, cfg.Web.Key = "", "" },
	} {
		if err := reload(change); err == nil || !strings.Contains(err.Error(), "web.cert") {
			t.Errorf("%s: got %v", what, err)
		}
	}
	if !c.shown(t, "own.example").Equal(own.get().Leaf) {
		t.Errorf("a reload that failed changed the certificate")
	}
	entries, err := c.audit.Read(time.Time{}, 0)
	if err != nil || len(entries) != 3 {
		t.Fatalf("audit log: %v, %v; want three reloads", entries, err)
	}
	for i, want := range []string{"reload", "reload.failed", "reload.failed"} {
		if got := entries[i]; got.What != want || got.Daemon != "collectord" || got.OK != (want == "reload") {
			t.Errorf("entry %d: %+v, want %s", i, got, want)
		}
	}
}

// TestAClientThatKnowsNothingPinsTheFleet: what it is told without verification
// it verifies with the next connection.
func TestAClientThatKnowsNothingPinsTheFleet(t *testing.T) {
	fleet := trusttest.New(t, "lab")
	c := newCollector(t, fleet, webOffice(t))
	blind := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	defer blind.CloseIdleConnections()
	status, body := ask(t, &http.Client{Transport: blind}, c.address()+api.PathIdentity)
	var told api.FleetIdentity
	if err := json.Unmarshal([]byte(body), &told); status != http.StatusOK || err != nil || told.Fleet != "lab" || len(told.Authorities) != 1 {
		t.Fatalf("%d %s", status, body)
	}
	pinned := trust.Pinned{Fleet: told.Fleet, Authority: told.Authorities[0], Role: trust.RoleCollector, Now: time.Now}
	sure := &http.Transport{TLSClientConfig: pinned.Client("h2", "http/1.1"), ForceAttemptHTTP2: true}
	defer sure.CloseIdleConnections()
	if status, body := ask(t, &http.Client{Transport: sure}, c.address()+api.PathHealthy); status != http.StatusOK {
		t.Errorf("%d %s", status, body)
	}
	if told.Authorities[0] != fleet.CA().Fingerprint() {
		t.Errorf("told %v, want the fingerprint of the authority", told.Authorities)
	}
}

func TestNamesForBrowsers(t *testing.T) {
	addresses := []net.Addr{
		&net.IPNet{IP: net.ParseIP("192.0.2.7"), Mask: net.CIDRMask(24, 32)},
		&net.IPNet{IP: net.ParseIP("fe80::1"), Mask: net.CIDRMask(64, 128)},
		&net.IPNet{IP: net.ParseIP("127.0.0.1"), Mask: net.CIDRMask(8, 32)},
		&net.IPNet{IP: net.ParseIP("2001:db8::7"), Mask: net.CIDRMask(64, 128)},
	}
	got := strings.Join(webHosts([]string{"Monitor.example.com", "192.0.2.7"}, "HQ_1", addresses), " ")
	if want := "monitor.example.com 192.0.2.7 localhost 127.0.0.1 ::1 2001:db8::7"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	many := make([]net.Addr, 100)
	for i := range many {
		many[i] = &net.IPNet{IP: net.IPv4(10, 0, 0, byte(i+1)), Mask: net.CIDRMask(8, 32)}
	}
	if got := webHosts(nil, "hq", many); len(got) != mostHosts || got[0] != "hq" {
		t.Errorf("%d names, beginning with %s", len(got), got[0])
	}
}
