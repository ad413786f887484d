package worker

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/registry/agent"
)

// registering registers over the control channel where no call of the fleet
// arrives, or no answer: the events are those of the UDP conversation, and the
// same state machine decides.
func (s *service) registering(ctx context.Context) {
	began := s.w.env.now()
	for ctx.Err() == nil {
		agent, _ := s.life.registration.view()
		asked := false
		timer := time.NewTimer(agent.Interval/2 + time.Duration(s.w.env.jitter()*float64(agent.Interval/2)))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-s.register:
			asked = true
		}
		timer.Stop()
		if ctx.Err() != nil || !s.open.Load() || !s.life.gate.isOpen() {
			continue
		}
		agent, _ = s.life.registration.view()
		_, last := s.w.port.calls()
		now := s.w.env.now()
		if uncalled(agent, began, last, now) || unanswered(agent, now) || asked && agent.State == model.AgentRegistered {
			s.registerOnce(ctx, agent)
		}
	}
}

// uncalled reports whether a worker has to register by itself, because nobody
// calls it: it is not registered, or its registration gives no sign of life any
// more. A call is waited for a little longer than they are apart; where there
// were some, for the patience of the registration. Pure.
func uncalled(agent agent.Agent, began, lastCall, now time.Time) bool {
	patience := time.Duration(agent.Policy.Patience) * agent.Interval
	if lastCall.IsZero() {
		lastCall = began
		patience = agent.Interval + agent.Interval/5
	}
	if since := now.Sub(lastCall); since >= 0 && since <= patience {
		return false
	}
	switch agent.State {
	case model.Initialized:
		return true
	case model.AgentRegistered:
		return now.Sub(agent.Heard) > time.Duration(agent.Policy.Patience)*agent.Interval
	}
	return false
}

// unanswered reports whether a worker that was called has answered in vain: its
// datagrams, or those of the coordinator, are lost on their way. It says so before
// the registration gives up. Pure.
func unanswered(agent agent.Agent, now time.Time) bool {
	waits := time.Duration(max(agent.Policy.Patience-1, 1)) * agent.Interval
	return agent.State == model.Registering && now.Sub(agent.Since) > waits
}

func (s *service) registerOnce(ctx context.Context, agent agent.Agent) {
	l := s.link.Load()
	if l == nil {
		return
	}
	remote, _ := l.peer()
	collector := agent.Collector // the one that an answer is awaited of, or was heard from
	if agent.State != model.Registering && (agent.State != model.AgentRegistered || !collector.Data.IsValid()) {
		collector = s.plannedCollector(remote)
	}
	ack, to, ok := s.life.registration.ask(collector, remote.Addr())
	if !ok {
		return
	}
	ack.ID = s.life.spool.Boot().String()
	answer, err := s.exchange(ctx, l, ack)
	if ctx.Err() != nil {
		return
	}
	if err != nil {
		s.w.status.failed(fmt.Errorf("register: %w", err))
		s.doubt(ctx, err)
		return
	}
	s.life.registration.Acknowledged(answer, to)
}

func (s *service) plannedCollector(remote netip.AddrPort) agent.Collector {
	s.mu.Lock()
	plan := s.tenure.plan
	s.mu.Unlock()
	collector := agent.Collector{Hostname: remote.Addr().String(), Coordinator: remote, Data: s.life.gate.planned()}
	if len(plan.Collectors) > 0 && plan.Collectors[0].Hostname != "" {
		collector.Hostname = clipped(plan.Collectors[0].Hostname)
	}
	return collector
}

func (s *service) exchange(ctx context.Context, l *link, ack *crm.ProbeAck) (*crm.RegisterAck, error) {
	packet, err := ack.Append(nil)
	if err != nil {
		return nil, err
	}
	raw, err := l.Register(ctx, packet)
	if err != nil {
		return nil, err
	}
	message, err := crm.Parse(raw)
	if err != nil {
		return nil, err
	}
	answer, ok := message.(*crm.RegisterAck)
	if !ok {
		return nil, fmt.Errorf("the coordinator answers with a %T, want a RegisterAck", message)
	}
	return answer, nil
}

// ask takes it that a collector has called, though none has: the worker asks by
// itself, over the control channel.
func (r *registration) ask(collector agent.Collector, source netip.Addr) (ack *crm.ProbeAck, to netip.AddrPort, ok bool) {
	to, ok = r.happened(agent.ProbeInit{Collector: collector, Source: source})
	if !ok {
		return nil, to, false
	}
	return r.self.ack(to), to, true
}
