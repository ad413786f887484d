package crm

import (
	"math"
	"strconv"
	"time"
	"unicode/utf16"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Append implements Message.
func (m *ProbeInit) Append(dst []byte) ([]byte, error) {
	w := writer{out: dst, dialect: m.Dialect}
	w.open(classProbeInit, m.ID)
	w.host(&m.Info)
	w.packetType(packetProbeInit)
	if e := m.Ext; e != nil {
		w.check(e.check())
		w.raw(`, "cloudless": {"fleet": `).text(e.Fleet)
		w.raw(`, "fleet_size": `).int(e.FleetSize)
		w.raw(`, "interval_ms": `).millis(e.Interval)
		w.optional("voucher", e.Voucher)
		w.optional(sealName, e.Seal)
		w.raw(`}`)
	}
	return w.finish(dst)
}

// Append implements Message.
func (m *ProbeAck) Append(dst []byte) ([]byte, error) {
	w := writer{out: dst, dialect: m.Dialect}
	w.open(classProbeAck, m.ID)
	w.host(&m.Info)
	w.packetType(packetProbeAck)
	if e := m.Ext; e != nil {
		w.check(e.check())
		w.raw(`, "cloudless": {"worker_id": `).text(e.WorkerID.String())
		w.raw(`, "keep_alive_ms": `).millis(e.KeepAlive)
		w.optional("version", e.Version)
		w.optional(sealName, e.Seal)
		w.raw(`}`)
	}
	return w.finish(dst)
}

// Append implements Message.
func (m *RegisterAck) Append(dst []byte) ([]byte, error) {
	w := writer{out: dst, dialect: m.Dialect}
	w.open(classRegisterAck, m.ID)
	w.check(m.Info.check())
	w.object(classRegisterInfo)
	w.raw(`, "status": `).raw(strconv.FormatBool(m.Info.Status))
	w.raw(`, "message": {"py/tuple": [`).text(m.Info.Message)
	w.raw(`]}, "max_retries": `).int(m.Info.MaxRetries)
	w.raw(`}`)
	w.packetType(packetRegisterAck)
	if e := m.Ext; e != nil {
		w.check(e.check())
		w.raw(`, "cloudless": {"worker_id": `).text(e.WorkerID.String())
		w.optional("instance", e.Instance)
		if e.State != 0 {
			w.optional("state", e.State.String())
		}
		w.optional("voucher", e.Voucher)
		w.optional(sealName, e.Seal)
		w.raw(`}`)
	}
	return w.finish(dst)
}

// writer appends one packet. It remembers the first error.
type writer struct {
	out     []byte
	dialect Dialect
	err     *Error
}

func (w *writer) check(err *Error) {
	if w.err == nil {
		w.err = err
	}
}

func (w *writer) raw(json string) *writer { w.out = append(w.out, json...); return w }
func (w *writer) text(s string)           { w.out = appendText(w.out, s) }
func (w *writer) int(n int)               { w.out = strconv.AppendInt(w.out, int64(n), 10) }
func (w *writer) millis(d time.Duration)  { w.int(int(d / time.Millisecond)) }

// optional writes a member that is not there when it is empty.
func (w *writer) optional(name, value string) {
	if value != "" {
		w.raw(`, "`).raw(name).raw(`": `).text(value)
	}
}

// object opens an object of class c; its members follow.
func (w *writer) object(c class) { w.raw(`{"py/object": `).text(path(w.dialect.Family, c)) }

// open writes a packet's beginning up to the value of info.
func (w *writer) open(c class, id string) {
	w.check(checkID(id))
	w.object(c)
	w.raw(`, "id": `).text(id)
	w.raw(`, "info": `)
}

func (w *writer) host(h *model.HostInfo) {
	w.check(checkHost(h))
	w.object(classHostInfo)
	w.raw(`, "hostname": `).text(h.Hostname)
	w.raw(`, "inet_addr": "`)
	if h.Addr.IsValid() {
		w.out = h.Addr.Unmap().AppendTo(w.out)
	}
	w.raw(`", "ports": [`)
	for i, p := range h.Ports {
		if i > 0 {
			w.raw(`, `)
		}
		w.object(classPortInfo)
		w.raw(`, "daemon": `).text(p.Daemon)
		w.raw(`, "port": `).int(int(p.Port))
		w.raw(`}`)
	}
	w.raw(`], "type": `)
	w.enum(enumHostType, int(h.Type))
	w.raw(`}`)
}

func (w *writer) packetType(number int) {
	w.raw(`, "type": `)
	if name, ok := enumPacketType.nameOf(number); ok && w.dialect.NamedType {
		w.text(name)
		return
	}
	w.enum(enumPacketType, number)
}

func (w *writer) enum(c class, number int) {
	w.raw(`{"py/reduce": [{"py/type": `).text(path(w.dialect.Family, c))
	w.raw(`}, {"py/tuple": [`).int(number)
	w.raw(`]}`)
	if w.dialect.PaddedReduce {
		w.raw(`, null, null, null`)
	}
	w.raw(`]}`)
}

func (w *writer) finish(dst []byte) ([]byte, error) {
	w.raw(`}`)
	if w.err != nil {
		return dst, w.err
	}
	if size := len(w.out) - len(dst); size > MaxPacket {
		return dst, refuse(TooLarge, "", "%d bytes, at most %d", size, MaxPacket)
	}
	return w.out, nil
}

// appendText appends a JSON string as Python's json module writes it: all
// outside printable ASCII as \uXXXX, beyond the basic plane as a surrogate
// pair. s is valid UTF-8.
func appendText(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r >= ' ' && r <= '~':
			dst = append(dst, byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r == '\f':
			dst = append(dst, `\f`...)
		case r == '\b':
			dst = append(dst, `\b`...)
		case r <= math.MaxUint16:
			dst = appendUnit(dst, uint16(r))
		default:
			high, low := utf16.EncodeRune(r)
			dst = appendUnit(dst, uint16(high))
			dst = appendUnit(dst, uint16(low))
		}
	}
	return append(dst, '"')
}

// appendUnit appends the escape of one UTF-16 code unit.
func appendUnit(dst []byte, unit uint16) []byte {
	const digits = "0123456789abcdef"
	return append(dst, '\\', 'u', digits[unit>>12], digits[unit>>8&0xf], digits[unit>>4&0xf], digits[unit&0xf])
}
