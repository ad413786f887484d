package model

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// FieldWithin returns a FieldError when got is not within least and most, both
// included. source, when given, tells where a bound comes from that is not a
// constant: "twice ping_interval or more".
func FieldWithin[T cmp.Ordered](key string, got, least, most T, source ...string) error {
	if got < least || got > most {
		return Fieldf(key, "%s: want %s to %s%s", spell(got), spell(least), spell(most), inBrackets(source))
	}
	return nil
}

// FieldAtLeast returns a FieldError when got is less than least. source is that
// of FieldWithin.
func FieldAtLeast[T cmp.Ordered](key string, got, least T, source ...string) error {
	if got < least {
		return Fieldf(key, "%s: want at least %s%s", spell(got), spell(least), inBrackets(source))
	}
	return nil
}

func inBrackets(source []string) string {
	if len(source) == 0 {
		return ""
	}
	return " (" + strings.Join(source, ", ") + ")"
}

// FieldListen returns a FieldError unless addr is "host:port" with a port
// number: ":9090", "192.0.2.1:9090", "[::1]:0". Host names are not looked up, so
// that a configuration does not depend on a network.
func FieldListen(key, addr string) error {
	host, port, found := cutLast(addr, ':')
	_, err := strconv.ParseUint(port, 10, 16)
	if strings.Contains(host, ":") { // an IPv6 address stands in brackets
		_, bad := netip.ParseAddrPort(addr)
		found = found && bad == nil
	}
	if !found || err != nil || strings.ContainsAny(host, " \t/") {
		return Fieldf(key, `%q: want host:port, or :port for all addresses of this host`, addr)
	}
	return nil
}

func cutLast(text string, separator byte) (before, after string, found bool) {
	i := strings.LastIndexByte(text, separator)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+1:], true
}

func spell(value any) string {
	if d, isDuration := value.(time.Duration); isDuration {
		return FormatDuration(d)
	}
	return fmt.Sprint(value)
}

// FormatDuration spells d as a configuration does, without the zero units: "1h"
// for 1h0m0s. time.ParseDuration reads it back.
func FormatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
