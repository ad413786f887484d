package worker

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/discovery"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/registry"
)

// registration carries out what registry.NextAgent decides. It is the
// discovery.Handler of the worker; its methods are safe for concurrent use.
type registration struct {
	self    identity
	connect func(to netip.AddrPort) // the zero value: nowhere
	log     *slog.Logger
	now     func() time.Time
	wake    chan struct{} // the deadline may have moved; holds one

	mu      sync.Mutex // guards what follows
	agent   registry.Agent
	ignored map[string]uint64 // by reason, a closed set
}

// identity is what the worker says of itself in a ProbeAck.
type identity struct {
	id        model.WorkerID
	fleet     string
	hostname  string // "": the kernel's, asked anew for every answer
	address   netip.Addr
	port      uint16 // of the responder
	keepAlive time.Duration
	version   string
}

// Reasons to ignore a packet that are the daemon's own.
const (
	ignoredNoFleet      = "no_fleet"      // a ProbeInit that names no fleet
	ignoredForeignFleet = "foreign_fleet" // a ProbeInit of another fleet
	ignoredOtherWorker  = "other_worker"  // a RegisterAck for another worker
)

var _ discovery.Handler = (*registration)(nil)

func newRegistration(self identity, connect func(netip.AddrPort), log *slog.Logger, now func() time.Time) *registration {
	r := &registration{self: self, connect: connect, log: log, now: now, wake: make(chan struct{}, 1),
		agent: registry.NewAgent(registry.DefaultAgentPolicy(), now()), ignored: map[string]uint64{}}
	for _, reason := range []string{ignoredNoFleet, ignoredForeignFleet, ignoredOtherWorker} {
		r.ignored[reason] = 0
	}
	for _, reason := range registry.IgnoreReasons() {
		r.ignored[reason.String()] = 0
	}
	return r
}

// Probed implements discovery.Handler.
func (r *registration) Probed(probe *crm.ProbeInit, source netip.AddrPort) (discovery.Answer, bool) {
	switch {
	case probe.Ext == nil:
		r.ignore(ignoredNoFleet)
		return discovery.Answer{}, false
	case probe.Ext.Fleet != r.self.fleet:
		r.ignore(ignoredForeignFleet)
		return discovery.Answer{}, false
	}
	collector := registry.Collector{Hostname: probe.Info.Hostname}
	collector.Coordinator, _ = probe.Info.Endpoint(model.DaemonCoordinator, source.Addr())
	collector.Data, _ = probe.Info.Endpoint(model.DaemonCollector, source.Addr())
	to, answer := r.happened(registry.ProbeInit{Collector: collector, Source: source.Addr(), Interval: probe.Ext.Interval})
	if !answer {
		return discovery.Answer{}, false
	}
	return discovery.Answer{To: to, Ack: r.self.ack(to)}, true
}

// Acknowledged implements discovery.Handler.
func (r *registration) Acknowledged(ack *crm.RegisterAck, source netip.AddrPort) {
	event := registry.RegisterAck{From: source.Addr(), OK: ack.Info.Status, Message: ack.Info.Message, MaxRetries: ack.Info.MaxRetries}
	if ack.Ext != nil {
		if ack.Ext.WorkerID != r.self.id {
			r.ignore(ignoredOtherWorker)
			return
		}
		event.Instance = ack.Ext.Instance
	}
	r.happened(event)
}

// alive tells that the stream to the collector made progress.
func (r *registration) alive() { r.happened(registry.Alive{}) }

// run lets the deadlines of the registration happen until ctx ends.
func (r *registration) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			r.happened(registry.Timer{})
		case <-r.wake:
		}
		if at, ok := r.deadline(); ok {
			timer.Reset(at.Sub(r.now()))
		} else {
			timer.Stop()
		}
	}
}

func (r *registration) deadline() (time.Time, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.agent.Deadline()
}

// happened takes one step and carries it out. It returns where to answer a
// probe, if that was decided.
func (r *registration) happened(event registry.AgentEvent) (to netip.AddrPort, answer bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	next, actions := registry.NextAgent(r.agent, event, r.now())
	r.agent = next
	for _, action := range actions {
		switch action := action.(type) {
		case registry.AnswerProbe:
			to, answer = action.To, true
		case registry.Connect:
			r.connect(action.To)
		case registry.Disconnect:
			r.connect(netip.AddrPort{})
		case registry.Ignored:
			r.ignored[action.Reason.String()]++
		case registry.AgentChanged:
			r.logChange(action)
		}
	}
	select {
	case r.wake <- struct{}{}:
	default: // it is awake already
	}
	return to, answer
}

// logChange tells of a new state; the mutex is held.
func (r *registration) logChange(change registry.AgentChanged) {
	level := slog.LevelInfo
	if change.To == model.RegisterFailed {
		level = slog.LevelError
	}
	attrs := []any{logkey.Was, change.From.String(), logkey.State, change.To.String(), "why", change.Why,
		"collector", r.agent.Collector.Hostname, logkey.Addr, r.agent.Collector.Coordinator.String()}
	if change.To == model.AgentRegistered {
		attrs = append(attrs, logkey.Instance, r.agent.Instance)
	} else if r.agent.Message != "" {
		attrs = append(attrs, "message", r.agent.Message, "retries_left", r.agent.Retries)
	}
	r.log.Log(context.Background(), level, "registration changed", attrs...)
}

func (r *registration) ignore(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ignored[reason]++
}

// view returns the state and a copy of the counters.
func (r *registration) view() (agent registry.Agent, ignored map[string]uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	ignored = make(map[string]uint64, len(r.ignored))
	for reason, count := range r.ignored {
		ignored[reason] = count
	}
	return r.agent, ignored
}

// ack is the answer to a probe. Without a configured address it names the one
// by which this host reaches the coordinator.
func (i identity) ack(to netip.AddrPort) *crm.ProbeAck {
	info := model.HostInfo{Hostname: i.hostname, Addr: i.address, Type: model.HostWorker,
		Ports: []model.PortInfo{{Daemon: model.DaemonWorker, Port: i.port}}}
	if info.Hostname == "" {
		info.Hostname, _ = os.Hostname() // empty on error; the registry then names the worker by its id
	}
	if !info.Addr.IsValid() {
		info.Addr = localAddress(to)
	}
	return &crm.ProbeAck{Info: info, Ext: &crm.ProbeAckExt{WorkerID: i.id, KeepAlive: i.keepAlive, Version: i.version}}
}

// localAddress is the source address that the kernel takes for packets to a
// peer, or the zero Addr. Connecting a UDP socket sends nothing.
func localAddress(to netip.AddrPort) netip.Addr {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return netip.Addr{}
	}
	defer conn.Close()
	local, ok := conn.LocalAddr().(*net.UDPAddr)
	if !ok {
		return netip.Addr{}
	}
	addr := local.AddrPort().Addr().Unmap()
	if addr.Zone() != "" {
		return netip.Addr{} // of no use on another host; the datagram's source serves
	}
	return addr
}
