package fleettest

import (
	"crypto/rand"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/api"
	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/stream"
	"github.com/cloudless-fleet/cloudless/pkg/stream/streamtest"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/home"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
)

// puppet is a member for which the test speaks, with all that its workerd has left
// on the disk.
type puppet struct {
	f       *inProcess
	name    string
	id      model.WorkerID
	boot    model.BootID
	body    trust.Body
	home    *home.Home
	own     *trust.Credentials
	control *api.MemberClient
}

// puppet takes the machine's identity in its hands. workerd must have stopped.
func (m *machine) puppet() *puppet {
	m.f.t.Helper()
	p := &puppet{f: m.f, name: m.name, id: m.id(), home: m.home(), own: m.credentials(), body: m.home().Body(home.ReadFacts(m.facts))}
	var boot [16]byte
	rand.Read(boot[:])
	p.boot = model.BootIDFrom(boot)
	p.control = m.f.channel(p.own.Client(trust.RoleCoordinator))
	return p
}

// channel speaks with the coordinator with a TLS configuration.
func (f *inProcess) channel(config *tls.Config) *api.MemberClient {
	f.t.Helper()
	client, err := api.NewMemberClient("https://"+loopback(f.control), f.keep(&http.Transport{ForceAttemptHTTP2: true, TLSClientConfig: config}))
	if err != nil {
		f.t.Fatal(err)
	}
	return client
}

// session opens a session for a process on a machine, and returns its first
// directive that says something. It ends with the test.
func (p *puppet) session(boot model.BootID, body trust.Body) api.Directive {
	p.f.t.Helper()
	open, err := p.control.Session(p.f.t.Context(), api.Session{Boot: boot, Body: body, Hostname: p.name,
		Bundle: api.BundleDigest(p.own.Bundle()), Now: now()})
	if err != nil {
		p.f.t.Fatal(err)
	}
	p.f.t.Cleanup(func() { open.Close() })
	for {
		d, err := open.Next()
		if err != nil {
			p.f.t.Fatal(err)
		}
		if d.Now = 0; d != (api.Directive{}) {
			return d
		}
	}
}

func now() model.Millis { return model.Millis(time.Now().UnixMilli()) }

// alive is the keep-alive of a process on a machine.
func (p *puppet) alive() api.KeepAlive {
	return api.KeepAlive{Boot: p.boot, Body: p.body, Bundle: api.BundleDigest(p.own.Bundle()), Now: now()}
}

// ack is its answer to a probe, in which it declares its lease.
func (p *puppet) ack(keepAlive time.Duration) *crm.ProbeAck {
	return &crm.ProbeAck{ID: p.boot.String(), Info: model.HostInfo{Hostname: p.name, Addr: netip.MustParseAddr("127.0.0.1"), Type: model.HostWorker,
		Ports: []model.PortInfo{{Daemon: model.DaemonWorker, Port: 9}}}, Ext: &crm.ProbeAckExt{WorkerID: p.id, KeepAlive: keepAlive}}
}

func (p *puppet) text(ack *crm.ProbeAck) []byte {
	p.f.t.Helper()
	text, err := ack.Append(nil)
	if err != nil {
		p.f.t.Fatal(err)
	}
	return text
}

// send sends an answer to a probe by UDP, in the name that it holds, sealed with
// this worker's key.
func (p *puppet) send(ack *crm.ProbeAck) {
	p.f.t.Helper()
	signer, err := packet.NewWorker("test", p.own.Bundle().Fingerprints()[0], ack.Ext.WorkerID, p.home.Key())
	if err != nil {
		p.f.t.Fatal(err)
	}
	text := p.text(ack)
	seal, err := signer.Sign(packet.ProbeAck, text, rand.Reader, time.Now())
	if err == nil {
		text, err = crm.AttachSeal(text, seal.String())
	}
	if err != nil {
		p.f.t.Fatal(err)
	}
	conn, err := net.Dial("udp", loopback(p.f.control))
	if err == nil {
		defer conn.Close()
		_, err = conn.Write(text)
	}
	if err != nil {
		p.f.t.Fatal(err)
	}
}

// stream sends one value of a metric, and goes on until the test ends. boot is
// that of the process as the hello says it.
func (p *puppet) stream(boot model.BootID, metric string) *stream.Client {
	p.f.t.Helper()
	log := streamtest.NewSource(boot, oneValue(p.f.t, metric)...)
	cfg := stream.DefaultClientConfig()
	cfg.BackoffMin, cfg.BackoffMax = 20*time.Millisecond, 100*time.Millisecond
	client, err := stream.NewClient(cfg, stream.ClientDeps{Supply: log.Supply(), Now: time.Now, Random: func() float64 { return 0.5 },
		Connect: stream.TLSConnect(func() *tls.Config { return p.own.Client(trust.RoleCollector, stream.ALPN) })})
	if err != nil {
		p.f.t.Fatal(err)
	}
	runUntilTheEnd(p.f.t, client)
	client.SetEndpoint(loopback(p.f.data))
	return client
}

// oneValue are the records of a metric with one value, 1.
func oneValue(t *testing.T, metric string) []frame.Record {
	t.Helper()
	part := model.Part{Collector: "planted", Families: []model.Family{{Name: metric, Type: model.Gauge, Series: []model.Labels{{}}}}}
	encoded, err := frame.AppendPart(nil, part)
	if err != nil {
		t.Fatal(err)
	}
	layout, err := frame.NewLayout([]model.Part{part})
	if err != nil {
		t.Fatal(err)
	}
	schema := frame.Schema{Parts: []frame.PartID{frame.PartIDOf(encoded)}}
	value, _ := frame.NewEncoder(layout, schema.ID(), 10).Append(nil, now(), []float64{1})
	return []frame.Record{{Kind: frame.KindPart, Stream: 1, Payload: encoded}, {Kind: frame.KindSchema, Stream: 1, Payload: frame.AppendSchema(nil, schema)},
		{Kind: frame.KindFrame, Stream: 1, Payload: value}}
}
