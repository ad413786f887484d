package discovery

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/cloudless-fleet/cloudless/pkg/crm"
	"github.com/cloudless-fleet/cloudless/pkg/trust/packet"
)

// pack writes a packet and seals it. What may be missing is left out when the
// packet would be too large. A message without an extension stays unsealed.
func pack(m crm.Message, seal Seal) ([]byte, error) {
	if seal == nil || !extended(m) {
		return fit(m, crm.MaxPacket)
	}
	b, err := fit(m, crm.MaxPacket-crm.SealOverhead-packet.SealLength)
	if err != nil {
		return nil, err
	}
	text, err := seal(b)
	if err != nil {
		return nil, fmt.Errorf("seal packet: %w", err)
	}
	return crm.AttachSeal(b, text)
}

func extended(m crm.Message) bool {
	switch m := m.(type) {
	case *crm.ProbeInit:
		return m.Ext != nil
	case *crm.ProbeAck:
		return m.Ext != nil
	case *crm.RegisterAck:
		return m.Ext != nil
	}
	return false
}

// fit writes a packet of at most room bytes. It shortens m as far as it must.
func fit(m crm.Message, room int) ([]byte, error) {
	for {
		b, err := m.Append(make([]byte, 0, crm.MaxPacket))
		var refused *crm.Error
		switch {
		case errors.As(err, &refused) && refused.Reason == crm.TooLarge:
		case err != nil:
			return nil, err
		case len(b) <= room:
			return b, nil
		}
		if !shorten(m) {
			return nil, fmt.Errorf("packet of %d bytes does not fit into %d", len(b), room)
		}
	}
}

// shorten makes m shorter by something it can do without, and reports whether
// there was such: the long spelling of a probe's type, which legacy daemons write
// shorter themselves; a part of a worker's version; the name that the fleet shows
// a worker under, which it is told again over the control channel; the end of a
// text for people.
func shorten(m crm.Message) bool {
	switch m := m.(type) {
	case *crm.ProbeInit:
		if !m.Dialect.NamedType {
			m.Dialect.NamedType = true
			return true
		}
	case *crm.ProbeAck:
		if m.Ext != nil && m.Ext.Version != "" {
			m.Ext.Version = half(m.Ext.Version)
			return true
		}
	case *crm.RegisterAck:
		if m.Ext != nil && m.Ext.Instance != "" {
			m.Ext.Instance = ""
			return true
		}
		if m.Info.Message != "" {
			m.Info.Message = half(m.Info.Message)
			return true
		}
	}
	return false
}

// half is the first half of a text that is not empty, without half a character.
func half(text string) string {
	most := len(text) / 2
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}
