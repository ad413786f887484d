package coordinator

import (
	"net/netip"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/registry"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
	"github.com/cloudless-fleet/cloudless/pkg/trust/revocation"
)

// judge believes what is signed by the key that a worker was admitted with, for
// this fleet, now, and was not heard before. Whoever is revoked is believed: he
// is told so.
func (c *coordinator) judge(m crm.Message, unsealed []byte, _ netip.AddrPort) packet.Verdict {
	ack, ok := m.(*crm.ProbeAck)
	if !ok || ack.Ext == nil {
		return packet.Verdict{Reason: packet.Unsigned}
	}
	id := ack.Ext.WorkerID
	return c.home.verifier.Worker(packet.ProbeAck, unsealed, ack.Ext.Seal, id, c.desk.Key(id), c.now())
}

// register hands a worker's ProbeAck, which came by UDP and is believed, to the
// registry and makes the RegisterAck of its decision. A worker without an id of
// ours is not answered: legacy workers have no place here yet.
func (c *coordinator) register(ack *crm.ProbeAck, source netip.AddrPort) (*crm.RegisterAck, netip.AddrPort, bool) {
	if ack.Ext == nil {
		c.withoutID.Add(1)
		return nil, netip.AddrPort{}, false
	}
	to, ok := ack.Info.Endpoint(model.DaemonWorker, source.Addr())
	if !ok {
		c.withoutPort.Add(1)
		return nil, netip.AddrPort{}, false
	}
	answer := c.registerAck(ack, source.Addr(), true)
	answer.Ext.Voucher = c.home.beacon.Load().voucher
	return answer, to, true
}

// registerAck lets the registry decide about a worker that is who it says it is.
// The clock counts if the packet was signed.
func (c *coordinator) registerAck(ack *crm.ProbeAck, source netip.Addr, signed bool) *crm.RegisterAck {
	id := ack.Ext.WorkerID
	event := registry.ProbeAck{
		ID: id, Host: ack.Info, Source: source.Unmap(), KeepAlive: ack.Ext.KeepAlive, Version: ack.Ext.Version,
		Offset: ack.Ext.ClockOffset, HasOffset: signed,
	}
	if c.isRevoked(id, trust.Fingerprint{}) {
		event.Verdict = registry.RefuseRevoked
	}
	before, _ := c.registry.Worker(id)
	reply := c.registry.ProbeAck(event)
	if reply.OK {
		c.annotate(id)
		if reply.Instance != before.Instance {
			c.sessions.poke(id)
		}
	}
	return &crm.RegisterAck{
		Info: crm.RegisterInfo{Status: reply.OK, Message: reply.Message, MaxRetries: reply.MaxRetries},
		Ext:  &crm.RegisterAckExt{WorkerID: id, Instance: reply.Instance, State: reply.State},
	}
}

// annotate tells the registry what the desk knows of a member.
func (c *coordinator) annotate(id model.WorkerID) {
	if m, known := c.desk.Member(id); known {
		c.registry.SetBoot(id, m.Boot)
		c.registry.SetLabels(id, m.Labels)
	}
}

// isRevoked reports whether a worker is out, by its id or the key that it was
// admitted with; a zero key is looked up.
func (c *coordinator) isRevoked(id model.WorkerID, key trust.Fingerprint) bool {
	subjects := []revocation.Subject{revocation.Worker(id)}
	if key.IsZero() {
		if public := c.desk.Key(id); public != nil {
			key, _ = trust.FingerprintOf(public)
		}
	}
	if !key.IsZero() {
		subjects = append(subjects, revocation.Key(key))
	}
	_, out := c.revoked.Find(subjects...)
	return out
}
