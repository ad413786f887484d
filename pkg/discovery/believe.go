package discovery

import (
	"crypto/ed25519"
	"io"
	"net/netip"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
)

// BelieveBeacons is a worker's judge: ProbeInit and RegisterAck must be sealed by
// a beacon of v's fleet. It goes with v.Screen.
func BelieveBeacons(v *packet.Verifier, now func() time.Time) Judge {
	return func(m crm.Message, unsealed []byte, _ netip.AddrPort) packet.Verdict {
		switch m := m.(type) {
		case *crm.ProbeInit:
			if m.Ext != nil {
				return v.Beacon(packet.ProbeInit, unsealed, m.Ext.Seal, m.Ext.Voucher, now())
			}
		case *crm.RegisterAck:
			if m.Ext != nil {
				return v.Beacon(packet.RegisterAck, unsealed, m.Ext.Seal, m.Ext.Voucher, now())
			}
		}
		return packet.Verdict{Reason: packet.Unsigned}
	}
}

// BelieveWorkers is a coordinator's judge: a ProbeAck must be sealed by the worker
// that it names, whose key is asked for; nil means that the worker is not known,
// or no longer welcome. It goes with v.Screen.
func BelieveWorkers(v *packet.Verifier, key func(model.WorkerID) ed25519.PublicKey, now func() time.Time) Judge {
	return func(m crm.Message, unsealed []byte, _ netip.AddrPort) packet.Verdict {
		ack, ok := m.(*crm.ProbeAck)
		if !ok || ack.Ext == nil || ack.Ext.Seal == "" {
			return packet.Verdict{Reason: packet.Unsigned}
		}
		return v.Worker(packet.ProbeAck, unsealed, ack.Ext.Seal, ack.Ext.WorkerID, key(ack.Ext.WorkerID), now())
	}
}

// SealAs seals packets of one kind by a signer.
func SealAs(signer *packet.Signer, kind packet.Kind, random io.Reader, now func() time.Time) Seal {
	return func(unsealed []byte) (string, error) {
		seal, err := signer.Sign(kind, unsealed, random, now())
		if err != nil {
			return "", err
		}
		return seal.String(), nil
	}
}
