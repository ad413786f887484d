package coordinator

import (
	"net/netip"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/registry"
)

// register hands a worker's ProbeAck to the registry and makes the RegisterAck
// of its decision. A worker without an id of ours is not answered: legacy
// workers have no place here yet.
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
	reply := c.registry.ProbeAck(registry.ProbeAck{
		ID: ack.Ext.WorkerID, Host: ack.Info, Source: source.Addr().Unmap(),
		KeepAlive: ack.Ext.KeepAlive, Version: ack.Ext.Version,
	})
	return &crm.RegisterAck{
		Info: crm.RegisterInfo{Status: reply.OK, Message: reply.Message, MaxRetries: reply.MaxRetries},
		Ext:  &crm.RegisterAckExt{WorkerID: ack.Ext.WorkerID, Instance: reply.Instance, State: reply.State},
	}, to, true
}
