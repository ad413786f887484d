package discovery

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"golang.org/x/time/rate"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/daemon/logkey"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
)

// Judge says whether a packet is to be believed. It is called from the goroutine
// that reads the socket: while it runs, nothing is read. unsealed is the packet as
// it came without its seal, which is what was signed; the seal itself is the one
// in the extension of m. unsealed must be neither changed nor kept. A packet
// without a seal is given too. The verdict's offset is handed on to the handler
// as ClockOffset in the packet's extension.
type Judge func(m crm.Message, unsealed []byte, source netip.AddrPort) packet.Verdict

// Screen says what a packet is by its seal alone, without parsing or verifying
// anything; the seal is empty when there is none. (*packet.Verifier).Screen is
// one. Called as Judge is.
type Screen func(seal string) packet.Reason

// Seal signs a packet. Called by one goroutine at a time.
type Seal func(unsealed []byte) (seal string, err error)

const trusted = packet.OK

func verdictOf(reason packet.Reason) packet.Verdict { return packet.Verdict{Reason: reason} }

// parsedUnsigned is how many packets per second are parsed although their seal is
// missing, so that rubbish and stray packets are counted as what they are. A flood
// beyond it is counted as unsigned and costs a search for the seal.
const parsedUnsigned = 1000

// door keeps out what is not to be believed, and bounds what finding that out
// costs. It is used by the goroutine that reads the socket. A nil door is open.
//
// What costs is a verification. An address that has caused too many of them in
// this second is not listened to: its packets are not judged. What is refused
// without one, or is a plain replay, is not charged, so that nobody is silenced
// by worthless packets that name him as their source.
type door struct {
	judge    Judge
	screener Screen // nil: none
	now      func() time.Time
	unsigned *rate.Limiter
	charged  addresses
}

// newDoor returns nil without a judge. each is how many verifications per second
// one address may cause.
func newDoor(judge Judge, screener Screen, each int, now func() time.Time) *door {
	if judge == nil {
		return nil
	}
	return &door{judge: judge, screener: screener, now: now, charged: newAddresses(each),
		unsigned: rate.NewLimiter(parsedUnsigned, parsedUnsigned)}
}

// screen looks at a datagram before it is parsed.
func (d *door) screen(heard datagram) packet.Reason {
	if d == nil || d.screener == nil {
		return trusted
	}
	reason := d.screener(heard.seal)
	if heard.seal == "" && reason != trusted && d.unsigned.AllowN(d.now(), 1) {
		return trusted // the judge will have the last word
	}
	return reason
}

// admit judges a packet. limited means that it was not judged.
func (d *door) admit(heard datagram) (v packet.Verdict, limited bool) {
	source, now := heard.source.Addr(), d.now()
	if d.charged.spent(source, now) {
		return packet.Verdict{}, true
	}
	// A seal that stands elsewhere is none that any of us has attached.
	if sealIn(heard.message) != heard.seal {
		return packet.Verdict{Reason: packet.Malformed}, false
	}
	v = d.judge(heard.message, heard.unsealed, heard.source)
	if costs(v.Reason) {
		d.charged.spend(source, now)
	}
	return v, false
}

// costs reports whether a signature was verified to find that out.
func costs(r packet.Reason) bool {
	switch r {
	case packet.Unsigned, packet.Malformed, packet.ForeignFleet, packet.UnknownSender, packet.Replayed:
		return false
	}
	return true
}

// sealIn is the seal that Parse has found.
func sealIn(m crm.Message) string {
	switch m := m.(type) {
	case *crm.ProbeInit:
		if m.Ext != nil {
			return m.Ext.Seal
		}
	case *crm.ProbeAck:
		if m.Ext != nil {
			return m.Ext.Seal
		}
	case *crm.RegisterAck:
		if m.Ext != nil {
			return m.Ext.Seal
		}
	}
	return ""
}

// setOffset hands the clock's offset on.
func setOffset(m crm.Message, offset time.Duration) {
	switch m := m.(type) {
	case *crm.ProbeInit:
		if m.Ext != nil {
			m.Ext.ClockOffset = offset
		}
	case *crm.ProbeAck:
		if m.Ext != nil {
			m.Ext.ClockOffset = offset
		}
	case *crm.RegisterAck:
		if m.Ext != nil {
			m.Ext.ClockOffset = offset
		}
	}
}

// believes judges a packet, and counts it if it is refused.
func (p *port) believes(heard datagram) bool {
	if p.door == nil {
		return true
	}
	v, limited := p.door.admit(heard)
	switch {
	case limited:
		p.count(func() { p.heard.Limited++ })
		return false
	case !v.OK():
		p.untrusted(heard, v)
		return false
	}
	setOffset(heard.message, v.Offset)
	return true
}

// untrusted counts. The log tells of each reason once; afterwards only of what was
// verified in vain, which is limited per address, and at debug level of the rest:
// that another fleet is on the wire is nothing to be told of for ever.
func (p *port) untrusted(heard datagram, v packet.Verdict) {
	first := false
	p.count(func() {
		p.heard.Untrusted[v.Reason]++
		first = p.heard.Untrusted[v.Reason] == 1
	})
	level := slog.LevelDebug
	switch {
	case costs(v.Reason):
		level = slog.LevelWarn
	case first:
		level = slog.LevelInfo
	}
	ctx := context.Background()
	if !p.log.Enabled(ctx, level) {
		return
	}
	attrs := []any{logkey.Reason, v.Reason.String(), "source", heard.source}
	if v.Offset != 0 {
		attrs = append(attrs, "clock_offset", v.Offset)
	}
	p.log.Log(ctx, level, "packet not believed", attrs...)
}
