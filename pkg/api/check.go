package api

import (
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// CheckDigest says what is wrong with a BundleDigest; empty text means that the
// sender has none, which is fine. what names it.
func CheckDigest(what, digest string) error {
	const digits = 64
	good := digest == "" || len(digest) == digits
	for i := 0; good && i < len(digest); i++ {
		good = '0' <= digest[i] && digest[i] <= '9' || 'a' <= digest[i] && digest[i] <= 'f'
	}
	if !good {
		return fmt.Errorf("%s: want %d hexadecimal digits in lower case", what, digits)
	}
	return nil
}

// CheckLine says what is wrong with a line of text for people: more than most
// bytes, or anything in it that a terminal would not print. what names it.
func CheckLine(what, text string, most int) error {
	if len(text) > most || !utf8.ValidString(text) {
		return fmt.Errorf("%s: want at most %d bytes of text", what, most)
	}
	for _, r := range text {
		if !unicode.IsGraphic(r) {
			return fmt.Errorf("%s: want one line of printable characters", what)
		}
	}
	return nil
}

// IsHost says whether text could be an IP address or a DNS name.
func IsHost(text string) bool {
	const longest = 253
	if _, err := netip.ParseAddr(text); err == nil {
		return true
	}
	if len(text) > longest {
		return false
	}
	for label := range strings.SplitSeq(text, ".") {
		if label == "" || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := 0; i < len(label); i++ {
			c := label[i]
			if !(c == '-' || c == '_' || '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z') {
				return false
			}
		}
	}
	return true
}
