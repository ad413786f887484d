package access

import (
	"net"
	"net/netip"
	"strings"
)

// knownHost says whether the Host header names this server: an IP address, which
// no foreign page can make point elsewhere, localhost, or one of names.
func knownHost(header string, names []string) bool {
	host := hostOf(header)
	if host == "localhost" {
		return true
	}
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	_, parent, _ := strings.Cut(host, ".")
	for _, name := range names {
		name = strings.ToLower(strings.TrimSuffix(name, "."))
		if wild, ok := strings.CutPrefix(name, "*."); ok {
			if parent == wild && strings.Contains(wild, ".") {
				return true
			}
			continue
		}
		if host != "" && host == name {
			return true
		}
	}
	return false
}

// hostOf is the host in a Host header, without port, brackets and final dot, in
// lower case.
func hostOf(header string) string {
	host, _, err := net.SplitHostPort(header)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(header, "["), "]")
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}
