package api

import (
	"fmt"
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
