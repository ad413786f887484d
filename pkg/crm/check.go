package crm

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Lengths in bytes of UTF-8. A packet could hold longer ones; these end up in
// labels, tables and log lines.
const (
	maxID      = 128
	maxName    = 253 // host and instance: the longest name of the DNS
	maxDaemon  = 64
	maxFleet   = 64
	maxVersion = 64
	maxCode    = 256 // seal and voucher; those of today have 119 and 151
)

// The checks below are made in both directions, so that Append writes nothing
// that Parse refuses.

func checkID(id string) *Error { return checkText(BadValue, "id", id, maxID) }

// checkText refuses what is too long, not UTF-8, or not visible: control
// characters and direction marks have no place in names that people are shown.
func checkText(reason Reason, at, text string, most int) *Error {
	if len(text) > most {
		return refuse(reason, at, "%d bytes, at most %d", len(text), most)
	}
	if !utf8.ValidString(text) {
		return refuse(reason, at, "not UTF-8")
	}
	for _, r := range text {
		// A lone surrogate of the sender arrives as the replacement character.
		if r == utf8.RuneError || !unicode.IsGraphic(r) {
			return refuse(reason, at, "%q holds the character %U", clip(text), r)
		}
	}
	return nil
}

func checkName(reason Reason, at, text string, most int) *Error {
	if text == "" {
		return refuse(reason, at, "empty")
	}
	return checkText(reason, at, text, most)
}

// What a host name may take in our own packets, where a character outside ASCII
// is spelled in 6 or 12 bytes. A sealed ProbeAck in the longest dialect, with all
// else as long as it may be but without its version, has 280 bytes left; a sealed
// ProbeInit, which carries a voucher as well, 96 in its shortest spelling.
const (
	maxSpelledName      = 280
	maxSpelledCollector = 96
)

// CheckHostname says why no packet can carry name as the name of a host; nil
// when every one can.
func CheckHostname(name string) error {
	if err := checkName(BadValue, "", name, maxName); err != nil {
		return errors.New(err.Detail)
	}
	if size := spelled(name); size > maxSpelledName {
		return fmt.Errorf("%d bytes as packets spell it, at most %d: characters outside ASCII take 6 or 12", size, maxSpelledName)
	}
	return nil
}

// CollectorHostname is the name that a sealed ProbeInit carries for a collector's
// host: name itself if there is room for it in every one of them, else its first
// label, or as much of that as there is room for. Workers show it to people; they
// tell collectors apart by address.
func CollectorHostname(name string) string {
	if spelled(name) <= maxSpelledCollector {
		return name
	}
	if label, _, _ := strings.Cut(name, "."); label != "" {
		name = label
	}
	for spelled(name) > maxSpelledCollector {
		_, size := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-size]
	}
	return name
}

// spelled is how many bytes a text takes between its quotes.
func spelled(text string) int { return len(appendText(nil, text)) - len(`""`) }

func checkHost(h *model.HostInfo) *Error {
	if err := checkName(BadValue, "info.hostname", h.Hostname, maxName); err != nil {
		return err
	}
	if h.Addr.Zone() != "" {
		return refuse(BadValue, "info.inet_addr", "%s: a zone means something on its own host only", h.Addr)
	}
	for i, p := range h.Ports {
		if err := checkPort(p); err != nil {
			err.At = index("info.ports", i) + "." + err.At
			return err
		}
	}
	if h.Type != model.HostWorker && h.Type != model.HostCollector {
		return refuse(BadValue, "info.type", "%v", h.Type)
	}
	return nil
}

func checkPort(p model.PortInfo) *Error {
	if err := checkName(BadValue, "daemon", p.Daemon, maxDaemon); err != nil {
		return err
	}
	if p.Port == 0 {
		return refuse(BadValue, "port", "0")
	}
	return nil
}

func (i *RegisterInfo) check() *Error {
	if !utf8.ValidString(i.Message) {
		return refuse(BadValue, "info.message", "not UTF-8")
	}
	if i.MaxRetries < 0 || i.MaxRetries > MaxRetries {
		return refuse(BadValue, "info.max_retries", "%d, want 0 to %d", i.MaxRetries, MaxRetries)
	}
	return nil
}

func (e *ProbeInitExt) check() *Error {
	if err := checkName(BadExtension, "cloudless.fleet", e.Fleet, maxFleet); err != nil {
		return err
	}
	if e.FleetSize < 0 || e.FleetSize > MaxFleetSize {
		return refuse(BadExtension, "cloudless.fleet_size", "%d, want 0 to %d", e.FleetSize, MaxFleetSize)
	}
	return cmp.Or(checkPeriod("cloudless.interval_ms", e.Interval), checkCode("cloudless.voucher", e.Voucher), checkCode("cloudless.seal", e.Seal))
}

func (e *ProbeAckExt) check() *Error {
	if e.WorkerID.IsZero() {
		return refuse(BadExtension, "cloudless.worker_id", "all zero")
	}
	if err := checkPeriod("cloudless.keep_alive_ms", e.KeepAlive); err != nil {
		return err
	}
	return cmp.Or(checkText(BadExtension, "cloudless.version", e.Version, maxVersion), checkCode("cloudless.seal", e.Seal))
}

func (e *RegisterAckExt) check() *Error {
	if e.WorkerID.IsZero() {
		return refuse(BadExtension, "cloudless.worker_id", "all zero")
	}
	if e.State > model.Left {
		return refuse(BadExtension, "cloudless.state", "%v", e.State)
	}
	return cmp.Or(checkText(BadExtension, "cloudless.instance", e.Instance, maxName),
		checkCode("cloudless.voucher", e.Voucher), checkCode("cloudless.seal", e.Seal))
}

// checkCode refuses what is not the text of a seal or voucher. Which texts are,
// is told by package trust/packet alone; here they are bounded, and hold nothing
// that could be mistaken for the packet around them.
func checkCode(at, text string) *Error {
	if len(text) > maxCode {
		return refuse(BadExtension, at, "%d bytes, at most %d", len(text), maxCode)
	}
	if !isCode(text) {
		return refuse(BadExtension, at, "want base64url")
	}
	return nil
}

// isCode reports whether text holds characters of base64url only.
func isCode(text string) bool {
	for i := range len(text) {
		if !isCodeByte(text[i]) {
			return false
		}
	}
	return true
}

func isCodeByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

func checkPeriod(at string, d time.Duration) *Error {
	if d < time.Millisecond || d > MaxPeriod || d%time.Millisecond != 0 {
		return refuse(BadExtension, at, "%v, want whole milliseconds from 1ms to %v", d, MaxPeriod)
	}
	return nil
}
