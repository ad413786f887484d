package discovery

import (
	"slices"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
)

// ProberStats counts what a Prober did since it was made.
type ProberStats struct {
	Rounds     uint64
	LookErrors uint64 // rounds in which the interfaces could not be listed
	Sent       uint64 // datagrams to interfaces; Targets.Sent are the others
	Errors     uint64 // datagrams to interfaces that could not be sent
	Targets    TargetStats
	// Interfaces are those of the last round, with their counts since they
	// appeared.
	Interfaces []InterfaceStats
	// Skipped are those left out of the last round.
	Skipped []SkippedInterface
}

// InterfaceStats counts what was sent by one interface.
type InterfaceStats struct {
	Name      string
	Sent      uint64
	Errors    uint64
	LastError string // of the last round that had one, or ""
}

// SkippedInterface is an interface that is not probed.
type SkippedInterface struct {
	Name string
	Why  Skip
}

// TargetStats counts what was sent to listed hosts.
type TargetStats struct {
	Sent         uint64
	Errors       uint64 // datagrams that could not be sent
	LookupErrors uint64 // names that could not be looked up in time
}

func (t *TargetStats) add(more TargetStats) {
	t.Sent += more.Sent
	t.Errors += more.Errors
	t.LookupErrors += more.LookupErrors
}

func (s *ProberStats) clone() ProberStats {
	c := *s
	c.Interfaces = slices.Clone(s.Interfaces)
	c.Skipped = slices.Clone(s.Skipped)
	return c
}

// round adds one round. Interfaces that are gone take their counts with them,
// so the list is never longer than the host has interfaces.
func (s *ProberStats) round(chosen []InterfaceStats, skipped []SkippedInterface, lookFailed bool) {
	s.Rounds++
	if lookFailed {
		s.LookErrors++
		return
	}
	for i := range chosen {
		now := &chosen[i]
		s.Sent += now.Sent
		s.Errors += now.Errors
		at := slices.IndexFunc(s.Interfaces, func(old InterfaceStats) bool { return old.Name == now.Name })
		if at < 0 {
			continue
		}
		old := s.Interfaces[at]
		now.Sent += old.Sent
		now.Errors += old.Errors
		if now.LastError == "" {
			now.LastError = old.LastError
		}
	}
	s.Interfaces, s.Skipped = chosen, skipped
}

// ListenStats counts what arrived on a port.
type ListenStats struct {
	Datagrams uint64
	Bytes     uint64
	// Refused counts packets that package crm did not accept, by reason.
	Refused [crm.NumReasons]uint64
	// Unexpected are well-formed packets that belong on another port.
	Unexpected uint64
	// Untrusted counts packets that the judge, or before it the screen, did not
	// believe, by reason. They are not answered.
	Untrusted [packet.NumReasons]uint64
	// Limited are packets that were not judged, because their address has caused
	// too many verifications already.
	Limited uint64
	// ReadErrors are errors of the socket. None of them ends the loop.
	ReadErrors uint64
}

// SendStats counts what was sent from a port in answer to something.
type SendStats struct {
	Sent uint64
	// SendErrors are datagrams that the kernel did not take: no route, a
	// broadcast address, a full queue.
	SendErrors uint64
	// BadDestination are answers to an address that is no single host's.
	BadDestination uint64
	// Unencodable are answers that do not fit into a packet.
	Unencodable uint64
	// TooLarge are answers more than twice as large as what asked for them.
	TooLarge uint64
	// Limited are answers withheld because too many were sent already.
	Limited uint64
}

// ResponderStats counts what a Responder did since it was made.
type ResponderStats struct {
	Listen       ListenStats
	Send         SendStats
	Probes       uint64 // ProbeInit given to the handler
	RegisterAcks uint64 // RegisterAck given to the handler
	// LimitedAddress are answers withheld for one address; Send.Limited are those
	// withheld for all together.
	LimitedAddress uint64
	Replaced       uint64 // answers that took the place of one still waiting
	Overflow       uint64 // answers dropped because too many collectors wait for one
	Waiting        int    // answers waiting now
	Groups         int    // interfaces on which the multicast group is joined now
	GroupErrors    uint64
}

// RegistrarStats counts what a Registrar did since it was made.
type RegistrarStats struct {
	Listen ListenStats
	// Send counts RegisterAck; its Limited are those withheld for all
	// addresses together.
	Send      SendStats
	ProbeAcks uint64 // ProbeAck given to the handler
	// LimitedAddress are RegisterAck withheld for one address.
	LimitedAddress uint64
	// Addresses are those whose rate is remembered now.
	Addresses int
}
