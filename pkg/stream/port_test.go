package stream

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/trust"
)

func TestWorkerStreamsThroughThePort(t *testing.T) {
	v := newTown(t, nil, nil)
	source, client := v.honest()
	source.sample(1000)
	eventually(t, "all records acknowledged", func() bool { return source.ackedSeq() == 1002 })
	all := v.server.Connections()
	if len(all) != 1 || all[0].Worker != testWorker || !all[0].Addr.IsValid() || v.port.Stats().Streams != 1 {
		t.Errorf("connections %+v, port %+v", all, v.port.Stats())
	}
	if stats := client.Stats(); stats.State != Connected || !stats.ClockKnown || stats.RoundTrip <= 0 || stats.ClockOffset.Abs() > stats.RoundTrip {
		t.Errorf("client %+v", stats)
	}
}

func TestHTTPThroughThePort(t *testing.T) {
	v := newTown(t, nil, nil)
	browser := func() *tls.Config {
		return &tls.Config{RootCAs: v.pool(), ServerName: "collectord.lab.cloudless.internal"}
	}
	operator := credentials(t, v.ca, trust.Request{Role: trust.RoleOperator, Name: "alice"}, time.Now)
	get := func(transport *http.Transport) (answer string) {
		t.Helper()
		defer transport.CloseIdleConnections()
		client := http.Client{Transport: transport, Timeout: 20 * time.Second}
		accepted := v.port.Stats().Accepted
		for range 3 {
			response, err := client.Get("https://" + v.addr + "/")
			if err != nil {
				t.Errorf("get: %v", err)
				return ""
			}
			body, err := io.ReadAll(response.Body)
			response.Body.Close()
			if err != nil {
				t.Errorf("read answer: %v", err)
			}
			answer = string(body)
		}
		if got := v.port.Stats().Accepted - accepted; got != 1 {
			t.Errorf("three requests took %d connections, want one", got)
		}
		return answer
	}
	if got := get(&http.Transport{TLSClientConfig: browser(), ForceAttemptHTTP2: true}); got != "HTTP/2.0 " {
		t.Errorf("HTTP/2 without a certificate: answer %q", got)
	}
	if got := get(&http.Transport{TLSClientConfig: browser()}); got != "HTTP/1.1 " {
		t.Errorf("HTTP/1.1: answer %q", got)
	}
	if got := get(&http.Transport{TLSClientConfig: operator.Client(trust.RoleCollector), ForceAttemptHTTP2: true}); got != "HTTP/2.0 alice" {
		t.Errorf("operator: answer %q", got)
	}
	eventually(t, "HTTP connections counted out", func() bool { return v.port.Stats().HTTP == 0 })
}

// visitor is a client that gets no further than being refused.
type visitor struct {
	name  string
	visit func(conn net.Conn) error // its error is what the client sees
	want  Failure
	sees  string
}

func visitors(t *testing.T, v *town) []visitor {
	shake := func(config *tls.Config) func(net.Conn) error {
		return func(conn net.Conn) error {
			secured := tls.Client(conn, config)
			if err := secured.Handshake(); err != nil {
				return err
			}
			if config.NextProtos[0] != ALPN {
				_, err := io.ReadFull(secured, make([]byte, 1))
				return err
			}
			secured.Write(appendMessage(nil, goodHello()))
			m, err := newWire(secured, newBuffers(), 10*time.Second).readMessage()
			if refused, ok := m.(refuse); ok {
				return &refused.Refusal
			}
			return errors.Join(errors.New("not refused"), err)
		}
	}
	plain := func(text string) func(net.Conn) error {
		return func(conn net.Conn) error {
			io.WriteString(conn, text)
			answer, err := bufio.NewReader(conn).ReadString('\n')
			return errors.Join(errors.New(answer), err)
		}
	}
	// forced sends its certificate even though its authority was not asked for.
	forced := func(c *trust.Credentials) *tls.Config {
		config := v.worker().Client(trust.RoleCollector, ALPN)
		pair := c.Client(trust.RoleCollector).Certificates[0]
		config.Certificates = nil
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		return config
	}
	request := trust.Request{Role: trust.RoleWorker, Name: testWorker.String()}
	brief := request
	brief.TTL = time.Millisecond
	expired := credentials(t, v.ca, brief, func() time.Time { return time.Now().Add(-time.Minute) })
	operator := credentials(t, v.ca, trust.Request{Role: trust.RoleOperator, Name: "alice"}, time.Now)
	nobody := v.worker().Client(trust.RoleCollector, ALPN)
	nobody.Certificates = nil
	old := v.worker().Client(trust.RoleCollector, ALPN)
	old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
	stranger := v.worker().Client(trust.RoleCollector, ALPN)
	stranger.RootCAs = x509.NewCertPool()
	return []visitor{
		{"garbage", plain("\x00\x01\x02\x03\x04\x05garbage"), FailNotTLS, ""},
		{"HTTP", plain("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), FailNotTLS, "HTTP/1.0 400 Bad Request"},
		{"nothing", func(conn net.Conn) error { return conn.Close() }, FailClosed, ""},
		{"half a handshake", func(conn net.Conn) error {
			conn.Write([]byte{22, 3, 1, 2, 0, 1, 0})
			return conn.Close()
		}, FailClosed, ""},
		{"TLS 1.2", shake(old), FailVersion, "protocol version"},
		{"unknown protocol", shake(v.worker().Client(trust.RoleCollector, "gopher/7")), FailProtocol, "no application protocol"},
		{"no certificate", shake(nobody), FailNoCertificate, "needs the certificate of a worker"},
		{"an operator", shake(operator.Client(trust.RoleCollector, ALPN)), FailRole, "needs the certificate of a worker"},
		{"another fleet", shake(forced(credentials(t, newCA(t, "prod"), request, time.Now))), FailUntrusted, ""},
		{"another fleet of our name", shake(forced(credentials(t, newCA(t, "lab"), request, time.Now))), FailUntrusted, ""},
		{"expired", shake(forced(expired)), FailExpired, "expired certificate"},
		{"client that does not trust us", shake(stranger), FailRejected, "unknown authority"},
	}
}

func TestThePortTellsItsVisitorsApart(t *testing.T) {
	v := newTown(t, nil, nil)
	source, _ := v.honest()
	for _, c := range visitors(t, v) {
		before := v.port.Stats()
		conn, err := net.Dial("tcp", v.addr)
		if err != nil {
			t.Fatal(err)
		}
		conn.SetDeadline(time.Now().Add(20 * time.Second))
		err = c.visit(conn)
		conn.Close()
		if c.sees != "" && (err == nil || !strings.Contains(err.Error(), c.sees)) {
			t.Errorf("%s: the client sees %v, want %q", c.name, err, c.sees)
		}
		eventually(t, c.name+" counted", func() bool { return v.port.Stats().Failed != before.Failed })
		after := v.port.Stats()
		for reason := range after.Failed {
			want := before.Failed[reason]
			if Failure(reason) == c.want {
				want++
			}
			if after.Failed[reason] != want {
				t.Errorf("%s: %d counted as %v, want %d", c.name, after.Failed[reason], Failure(reason), want)
			}
		}
	}
	source.sample(10)
	eventually(t, "the honest worker's records", func() bool { return source.ackedSeq() == 12 })
	for reason := range numFailures {
		if reason.String() == "" {
			t.Errorf("failure %d has no name", uint8(reason))
		}
	}
}

func TestSilentHandshakesTimeOut(t *testing.T) {
	v := newTown(t, func(c *PortConfig) { c.HandshakeTimeout = 50 * time.Millisecond }, nil)
	conn, err := net.Dial("tcp", v.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	eventually(t, "timeout", func() bool { return v.port.Stats().Failed[FailTimeout] == 1 })
}

func TestSilentCrowdDoesNotKeepWorkersOut(t *testing.T) {
	v := newTown(t, func(c *PortConfig) { c.MaxHandshakes = 10; c.HandshakeTimeout = time.Hour }, nil)
	for i := range 50 {
		conn, err := net.Dial("tcp", v.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		eventually(t, "accepted", func() bool { return v.port.Stats().Accepted == uint64(i)+1 })
	}
	if stats := v.port.Stats(); stats.Handshakes > 10 {
		t.Errorf("%d handshakes under way, at most 10 wanted", stats.Handshakes)
	}
	source, _ := v.honest()
	eventually(t, "the honest worker's records", func() bool { return source.ackedSeq() == 2 })
	eventually(t, "the rest cut off", func() bool { return v.port.Stats().Failed[FailCrowded] >= 40 })
}

func TestHTTPConnectionsAreBounded(t *testing.T) {
	v := newTown(t, func(c *PortConfig) { c.MaxHTTP = 2 }, nil)
	config := &tls.Config{RootCAs: v.pool(), ServerName: "collectord.lab.cloudless.internal"}
	var open []net.Conn
	for range 2 {
		conn, err := tls.Dial("tcp", v.addr, config)
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, conn)
	}
	eventually(t, "two connections", func() bool { return v.port.Stats().HTTP == 2 })
	third, err := tls.Dial("tcp", v.addr, config)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := third.Read(make([]byte, 1)); err == nil {
		t.Errorf("a third connection was served")
	}
	third.Close()
	eventually(t, "one too many counted", func() bool { return v.port.Stats().Failed[FailFull] == 1 })
	open[0].Close()
	eventually(t, "room again", func() bool { return v.port.Stats().HTTP == 1 })
	open[1].Close()
}

// poorListener has no file descriptors for a while, as on EMFILE.
type poorListener struct {
	net.Listener
	mu    sync.Mutex
	fails int
}

func (l *poorListener) Accept() (net.Conn, error) {
	l.mu.Lock()
	poor := l.fails > 0
	l.fails--
	l.mu.Unlock()
	if poor {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

func TestAcceptErrorsDoNotEndThePort(t *testing.T) {
	v := newTown(t, nil, func(l net.Listener) net.Listener { return &poorListener{Listener: l, fails: 5} })
	source, _ := v.honest()
	eventually(t, "the honest worker's records", func() bool { return source.ackedSeq() == 2 })
	if got := v.port.Stats().AcceptErrors; got != 5 {
		t.Errorf("%d accept errors, want 5", got)
	}
}

func TestPortSaysWhenItsListenerBreaks(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := NewPort(DefaultPortConfig(), PortDeps{Listener: listener, TLS: &tls.Config{}, Stream: func(context.Context, net.Conn, trust.Identity) {}})
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	if err := p.Run(t.Context()); !errors.Is(err, net.ErrClosed) {
		t.Errorf("got %v, want net.ErrClosed", err)
	}
	if _, err := p.HTTP().Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept after the end: %v, want net.ErrClosed", err)
	}
}

func TestWorkerIsToldThatItsCertificateIsNotAccepted(t *testing.T) {
	v := newTown(t, nil, nil)
	pair := credentials(t, newCA(t, "prod"), trust.Request{Role: trust.RoleWorker, Name: testWorker.String()}, time.Now).Client(trust.RoleCollector).Certificates[0]
	own := v.worker()
	client := v.runClient(singleOf(newTestSource(1)), func() *tls.Config {
		config := own.Client(trust.RoleCollector, ALPN)
		config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		return config
	})
	eventually(t, "the end", func() bool { return client.Stats().Ended[EndTLS] > 0 })
	if got := client.Stats().LastError; !strings.Contains(got, "certificate") && !strings.Contains(got, "unknown") {
		t.Errorf("the worker shows %q, want something about a certificate", got)
	}
}
