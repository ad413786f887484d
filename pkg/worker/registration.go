package worker

import (
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"sync"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/discovery"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/registry/agent"
)

// registration carries out what agent.Next decides. Its methods are safe
// for concurrent use.
type registration struct {
	self identity
	// admitted says whether this process may speak for the worker: until then no
	// probe is answered, for another process may be the one that the fleet knows.
	admitted func() bool
	// fallback is where frames go when a ProbeInit names no such place; zero when
	// nobody knows.
	fallback func() netip.AddrPort
	// connect is told where the collector is, the zero value meaning nowhere. It
	// must not block and not call back.
	connect func(to netip.AddrPort)
	log     *slog.Logger
	now     func() time.Time
	wake    chan struct{} // the deadline has moved; holds one

	// turn is held for a whole step, so that what steps do is done in the order
	// in which they were decided. Taken before mu.
	turn sync.Mutex

	mu      sync.Mutex // guards what follows
	agent   agent.Agent
	ignored map[string]uint64 // by reason, a closed set
}

// Reasons to ignore a packet that are the daemon's own.
const (
	ignoredNoFleet      = "no_fleet"      // a ProbeInit that names no fleet
	ignoredForeignFleet = "foreign_fleet" // a ProbeInit of another fleet
	ignoredOtherWorker  = "other_worker"  // a RegisterAck for another worker
	ignoredNotAdmitted  = "not_admitted"  // a ProbeInit while this process may not answer
)

var _ discovery.Handler = (*registration)(nil)

func newRegistration(self identity, policy agent.Policy, connect func(netip.AddrPort), log *slog.Logger, now func() time.Time) *registration {
	r := &registration{self: self, admitted: func() bool { return true }, fallback: func() netip.AddrPort { return netip.AddrPort{} }, connect: connect, log: log, now: now, wake: make(chan struct{}, 1),
		agent: agent.New(policy, now()), ignored: map[string]uint64{}}
	for _, reason := range []string{ignoredNoFleet, ignoredForeignFleet, ignoredOtherWorker, ignoredNotAdmitted} {
		r.ignored[reason] = 0
	}
	for _, reason := range agent.IgnoreReasons() {
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
		if r.ignore(ignoredForeignFleet) == 1 {
			r.log.Info("the collector of another fleet calls here too; this and its further calls are only counted",
				"fleet", probe.Ext.Fleet, "own_fleet", r.self.fleet, "collector", probe.Info.Hostname, logkey.Addr, source)
		}
		return discovery.Answer{}, false
	case !r.admitted():
		r.ignore(ignoredNotAdmitted)
		return discovery.Answer{}, false
	}
	collector := agent.Collector{Hostname: probe.Info.Hostname}
	collector.Coordinator, _ = probe.Info.Endpoint(model.DaemonCoordinator, source.Addr())
	var told bool
	if collector.Data, told = probe.Info.Endpoint(model.DaemonCollector, source.Addr()); !told {
		collector.Data = r.fallback()
	}
	to, answer := r.happened(agent.ProbeInit{Collector: collector, Source: source.Addr(), Interval: probe.Ext.Interval})
	if !answer {
		return discovery.Answer{}, false
	}
	return discovery.Answer{To: to, Ack: r.self.ack(to)}, true
}

// Acknowledged implements discovery.Handler.
func (r *registration) Acknowledged(ack *crm.RegisterAck, source netip.AddrPort) {
	event := agent.RegisterAck{From: source.Addr(), OK: ack.Info.Status, Message: ack.Info.Message, MaxRetries: ack.Info.MaxRetries}
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
func (r *registration) alive() { r.happened(agent.Alive{}) }

// run lets the deadlines of the registration happen until ctx ends.
func (r *registration) run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
			r.happened(agent.Timer{})
		case <-r.wake:
		}
		agent, _ := r.view()
		if at, ok := agent.Deadline(); ok {
			timer.Reset(at.Sub(r.now()))
		} else {
			timer.Stop()
		}
	}
}

// happened takes one step and carries it out. It returns where to answer a
// probe, if that was decided.
func (r *registration) happened(event agent.Event) (to netip.AddrPort, answer bool) {
	r.turn.Lock()
	defer r.turn.Unlock()
	before, after, actions := r.step(event)
	for _, action := range actions {
		switch action := action.(type) {
		case agent.AnswerProbe:
			to, answer = action.To, true
		case agent.Connect:
			r.connect(action.To)
		case agent.Disconnect:
			r.connect(netip.AddrPort{})
		case agent.Ignored:
			r.ignore(action.Reason.String())
		case agent.Changed:
			r.logChange(before, after, action)
		}
	}
	if !sameDeadline(before, after) {
		select {
		case r.wake <- struct{}{}:
		default: // it is awake already
		}
	}
	return to, answer
}

func (r *registration) step(event agent.Event) (before, after agent.Agent, actions []agent.Action) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before = r.agent
	r.agent, actions = agent.Next(before, event, r.now())
	return before, r.agent, actions
}

func sameDeadline(a, b agent.Agent) bool {
	aAt, aHas := a.Deadline()
	bAt, bHas := b.Deadline()
	return aHas == bHas && aAt.Equal(bAt)
}

// logChange tells of a new state. A step may go through two of them: what it
// gave up concerns the collector before, what it began the one after it.
func (r *registration) logChange(before, after agent.Agent, change agent.Changed) {
	level, collector := slog.LevelInfo, after.Collector
	switch change.To {
	case model.RegisterFailed:
		level = slog.LevelError
	case model.Initialized:
		collector = before.Collector
	}
	attrs := []any{logkey.Was, change.From.String(), logkey.State, change.To.String(), "why", change.Why,
		"collector", collector.Hostname, logkey.Addr, collector.Coordinator.String()}
	if change.To == model.AgentRegistered {
		attrs = append(attrs, logkey.Instance, after.Instance)
	} else if after.Message != "" {
		attrs = append(attrs, "message", after.Message, "retries_left", after.Retries)
	}
	r.log.Log(context.Background(), level, "registration changed", attrs...)
}

// ignore counts, and tells how often it was for that reason.
func (r *registration) ignore(reason string) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ignored[reason]++
	return r.ignored[reason]
}

// view returns the state and a copy of the counters.
func (r *registration) view() (state agent.Agent, ignored map[string]uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.agent, maps.Clone(r.ignored)
}
