package collector

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/disk"
)

// webCertificate is what browsers are shown: they take no Ed25519 and know
// nothing of the fleet's names. It is the operator's own, or one of the fleet's
// authority for browsers, which is got and renewed as long as the daemon runs.
type webCertificate struct {
	path   string   // of the fleet's: certificate and key
	hosts  []string // that it is to be good for
	ask    func(context.Context, api.WebRequest) (api.WebCertificate, error)
	now    func() time.Time
	random io.Reader
	log    *slog.Logger

	current atomic.Pointer[tls.Certificate] // nil: none yet
}

// webRetry is the pause after an attempt that failed, and between looks at the
// clock.
const webRetry = time.Minute

// get returns what is to be shown, nil when there is nothing yet.
func (w *webCertificate) get() *tls.Certificate { return w.current.Load() }

// notAfter is when it ends; zero when there is none.
func (w *webCertificate) notAfter() time.Time {
	if current := w.current.Load(); current != nil {
		return current.Leaf.NotAfter
	}
	return time.Time{}
}

// prepare reads the operator's own certificate and shows nothing yet.
func (w *webCertificate) prepare(own WebConfig) (apply func(), err error) {
	loaded, err := tls.LoadX509KeyPair(own.Cert, own.Key)
	if err != nil {
		return nil, fmt.Errorf("load certificate for browsers: %w", err)
	}
	if now := w.now(); !now.Before(loaded.Leaf.NotAfter) {
		w.log.Warn("certificate for browsers has ended", logkey.Path, own.Cert, "ended", loaded.Leaf.NotAfter)
	}
	return func() { w.current.Store(&loaded) }, nil
}

// load shows the stored certificate of the fleet, if there is one that lasts.
func (w *webCertificate) load() {
	data, err := os.ReadFile(w.path)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = w.show(data)
	}
	if err != nil {
		w.log.Warn("stored certificate for browsers is not used, a new one is asked for", logkey.Path, w.path, logkey.Err, err)
	}
}

// show takes over a certificate with its key, PEM.
func (w *webCertificate) show(data []byte) error {
	pair, err := tls.X509KeyPair(data, data)
	if err != nil {
		return err // the library's errors hold nothing of a key
	}
	if !w.now().Before(pair.Leaf.NotAfter) {
		return fmt.Errorf("it ended on %s", pair.Leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	w.current.Store(&pair)
	return nil
}

// run keeps the fleet's certificate good until ctx ends.
func (w *webCertificate) run(ctx context.Context) error {
	failing := false
	for {
		if w.due() {
			err := w.renew(ctx)
			if err != nil && ctx.Err() == nil && !failing {
				w.log.Warn("no certificate for browsers got, tried again", logkey.Err, err)
			}
			failing = err != nil
		}
		if !pause(ctx, webRetry) {
			return nil
		}
	}
}

// due says that a new one is wanted: there is none, two thirds of its life are
// over, or it is not good for all names.
func (w *webCertificate) due() bool {
	current := w.current.Load()
	if current == nil || !w.now().Before(trust.RenewAt(current.Leaf)) {
		return true
	}
	return slices.ContainsFunc(w.hosts, func(host string) bool { return current.Leaf.VerifyHostname(host) != nil })
}

func (w *webCertificate) renew(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, askOffice)
	defer cancel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), w.random)
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	public, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	answer, err := w.ask(ctx, api.WebRequest{PublicKey: public, Hosts: w.hosts})
	if err != nil {
		return err
	}
	private, err := trust.EncodeKey(key)
	if err != nil {
		return fmt.Errorf("make key: %w", err)
	}
	block, _ := pem.Decode([]byte(answer.Certificate)) // nothing but the certificate is taken over
	if block == nil || block.Type != "CERTIFICATE" {
		return errors.New("no certificate in the answer")
	}
	data := append(pem.EncodeToMemory(block), private...)
	if err := w.show(data); err != nil {
		return err
	}
	w.log.Info("certificate for browsers renewed", "ends", w.notAfter(), "hosts", w.hosts)
	return disk.Replace(w.path, data, disk.Private)
}

// serverTLS shows members of the fleet the fleet's certificate, and everybody
// else the one for browsers; the fleet's, too, as long as there is no other.
func serverTLS(credentials *trust.Credentials, protocols []string, web func() *tls.Certificate) *tls.Config {
	config := credentials.Server(protocols, trust.ClientOptional)
	ofFleet := config.GetConfigForClient
	config.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		chosen, err := ofFleet(hello) // made for this handshake alone
		if shown := web(); err == nil && shown != nil && !trust.IsServerName(hello.ServerName) {
			chosen.Certificates = []tls.Certificate{*shown}
		}
		return chosen, err
	}
	return config
}

// mostHosts bounds the names of the certificate for browsers, as the coordinator
// does.
const mostHosts = 32

// webHosts are the names that browsers may use: those configured, the host's,
// and as many of the host's addresses as there is room for. addresses may be nil.
func webHosts(configured []string, hostname string, addresses []net.Addr) []string {
	var hosts []string
	add := func(host string) {
		if len(hosts) < mostHosts && trust.CheckHost(host) == nil && !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	for _, host := range configured {
		add(strings.ToLower(host))
	}
	for _, host := range []string{strings.ToLower(hostname), "localhost", "127.0.0.1", "::1"} {
		add(host)
	}
	for _, address := range addresses {
		prefix, err := netip.ParsePrefix(address.String())
		if addr := prefix.Addr().Unmap(); err == nil && addr.IsGlobalUnicast() {
			add(addr.String())
		}
	}
	return hosts
}
