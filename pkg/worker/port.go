package worker

import (
	"crypto"
	"errors"
	"io"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/discovery"
	"github.com/cloudless-fleet/cloudless/pkg/model"
	"github.com/cloudless-fleet/cloudless/pkg/trust"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
)

// port is who hears the discovery port. A machine that trusts nobody yet
// remembers who calls, and answers nobody; a member believes its own fleet only,
// and its registration answers. Safe for concurrent use.
type port struct {
	now    func() time.Time
	random io.Reader
	clock  *clock

	verifier atomic.Pointer[packet.Verifier] // nil: trusts nobody yet
	signer   atomic.Pointer[packet.Signer]
	life     atomic.Pointer[life] // nil: nobody answers
	fresh    chan struct{}        // an address was heard for the first time; holds one

	mu       sync.Mutex   // guards what follows
	fleet    string       // that the verifier is for
	heard    []calledFrom // see remember
	lastCall time.Time    // of the own fleet
}

// maxHeard bounds the coordinators that are remembered.
const maxHeard = 16

func newPort(now func() time.Time, random io.Reader, clock *clock) *port {
	return &port{now: now, random: random, clock: clock, fresh: make(chan struct{}, 1)}
}

var _ discovery.Handler = (*port)(nil)

// trust lets the port believe the fleet of bundle. What was heard of another one
// is forgotten.
func (p *port) trust(bundle trust.Bundle) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if verifier := p.verifier.Load(); verifier != nil && p.fleet == bundle.Fleet {
		return verifier.Trust(bundle)
	}
	verifier, err := packet.NewVerifier(bundle, packet.DefaultWindowConfig())
	if err != nil {
		return err
	}
	p.fleet, p.heard, p.lastCall = bundle.Fleet, nil, time.Time{}
	p.verifier.Store(verifier)
	return nil
}

// signAs lets the port seal its answers in the name of a worker. authority is
// one that the fleet knows: the one that has signed the worker's certificate.
func (p *port) signAs(fleet string, authority trust.Fingerprint, worker model.WorkerID, key crypto.Signer) error {
	signer, err := packet.NewWorker(fleet, authority, worker, key)
	if err != nil {
		return err
	}
	p.signer.Store(signer)
	return nil
}

// distrust makes the port one that trusts nobody and seals nothing.
func (p *port) distrust() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.verifier.Store(nil)
	p.signer.Store(nil)
	p.fleet, p.heard, p.lastCall = "", nil, time.Time{}
}

// errNoSigner says that an answer is due in nobody's name.
var errNoSigner = errors.New("no identity to sign with")

// judge is the discovery.Judge.
func (p *port) judge(m crm.Message, unsealed []byte, _ netip.AddrPort) packet.Verdict {
	verifier := p.verifier.Load()
	if verifier == nil {
		return packet.Verdict{Reason: packet.OK} // only the address is used
	}
	switch m := m.(type) {
	case *crm.ProbeInit:
		if m.Ext != nil {
			return verifier.Beacon(packet.ProbeInit, unsealed, m.Ext.Seal, m.Ext.Voucher, p.now())
		}
	case *crm.RegisterAck:
		if m.Ext != nil {
			return verifier.Beacon(packet.RegisterAck, unsealed, m.Ext.Seal, m.Ext.Voucher, p.now())
		}
	}
	return packet.Verdict{Reason: packet.Unsigned}
}

// screen is the discovery.Screen.
func (p *port) screen(seal string) packet.Reason {
	if verifier := p.verifier.Load(); verifier != nil {
		return verifier.Screen(seal)
	}
	return packet.OK
}

// seal is the discovery.Seal.
func (p *port) seal(unsealed []byte) (string, error) {
	signer := p.signer.Load()
	if signer == nil {
		return "", errNoSigner
	}
	seal, err := signer.Sign(packet.ProbeAck, unsealed, p.random, p.now())
	if err != nil {
		return "", err
	}
	return seal.String(), nil
}

// Probed implements discovery.Handler.
func (p *port) Probed(probe *crm.ProbeInit, source netip.AddrPort) (discovery.Answer, bool) {
	if probe.Ext == nil {
		if l := p.life.Load(); l != nil {
			l.registration.ignore(ignoredNoFleet)
		}
		return discovery.Answer{}, false
	}
	if to, ok := probe.Info.Endpoint(model.DaemonCoordinator, source.Addr()); ok {
		p.remember(calledFrom{fleet: probe.Ext.Fleet, address: to.String()})
	}
	if p.verifier.Load() == nil {
		return discovery.Answer{}, false
	}
	p.clock.heard(-probe.Ext.ClockOffset)
	l := p.life.Load()
	if l == nil {
		return discovery.Answer{}, false
	}
	return l.registration.Probed(probe, source)
}

// remember keeps a caller. Of those that are verified the newest ones count, for
// coordinators move; of the others the first ones, or whoever calls most would be
// asked.
func (p *port) remember(one calledFrom) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lastCall = p.now()
	known := slices.Index(p.heard, one)
	if p.verifier.Load() != nil {
		if known >= 0 {
			p.heard = slices.Delete(p.heard, known, known+1)
		} else if len(p.heard) >= maxHeard {
			p.heard = slices.Delete(p.heard, 0, 1)
		}
	} else if known >= 0 || len(p.heard) >= maxHeard {
		return
	}
	p.heard = append(p.heard, one)
	if known < 0 {
		poke(p.fresh, struct{}{})
	}
}

// Acknowledged implements discovery.Handler.
func (p *port) Acknowledged(ack *crm.RegisterAck, source netip.AddrPort) {
	l := p.life.Load()
	if l == nil || p.verifier.Load() == nil {
		return
	}
	if ack.Ext != nil {
		p.clock.heard(-ack.Ext.ClockOffset)
	}
	l.registration.Acknowledged(ack, source)
}

// calls are the coordinators that were heard of, the first one first, and when
// the last call came.
func (p *port) calls() (heard []calledFrom, last time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.heard), p.lastCall
}
