package pairing

import (
	"crypto/ed25519"
	"strings"
	"testing"
)

func key(n byte) ed25519.PublicKey {
	return ed25519.NewKeyFromSeed(append(make([]byte, 31), n)).Public().(ed25519.PublicKey)
}

// The codes of known keys are part of the format: both sides compute them.
func TestKnownCodes(t *testing.T) {
	for n, want := range []string{"juniv-kahol-dasan-lugok", "lazub-sopuj-miram-kubah"} {
		if got := Of(key(byte(n))).String(); got != want {
			t.Errorf("key %d: got %s, want %s", n, got, want)
		}
	}
}

func TestEveryWordIsOneNumber(t *testing.T) {
	seen := map[string]bool{}
	for bits := range 1 << 16 {
		word := Word(uint16(bits))
		if seen[word] {
			t.Fatalf("%q stands for two numbers", word)
		}
		seen[word] = true
		code, err := Parse(word + word + word + word)
		if err != nil || code != (Code{uint16(bits), uint16(bits), uint16(bits), uint16(bits)}) {
			t.Fatalf("%q reads as %v, %v; want %d", word, code, err, bits)
		}
	}
}

func TestParseForgivesWhatPeopleDo(t *testing.T) {
	want := Code{0, 0xffff, 0x1234, 0x8001}
	text := want.String()
	for _, typed := range []string{text, strings.ToUpper(text), strings.ReplaceAll(text, "-", " "), strings.ReplaceAll(text, "-", ""),
		"  " + strings.ReplaceAll(text, "-", " - ") + "\n", strings.Title(text)} {
		if got, err := Parse(typed); err != nil || got != want {
			t.Errorf("%q: got %v, %v; want %v", typed, got, err, want)
		}
	}
	for _, typed := range []string{"", text[:len(text)-1], text + "b", strings.Replace(text, "b", "c", 1), strings.Replace(text, "a", "e", 1),
		strings.Repeat(" ", longest) + text, "ébabab" + text} {
		if got, err := Parse(typed); err == nil {
			t.Errorf("%q: got %v, want an error", typed, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add("babab-babab-babab-babab")
	f.Add("BABAB babab")
	f.Fuzz(func(t *testing.T, text string) {
		code, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(code.String()); err != nil || again != code {
			t.Errorf("%q is %v, read again %v, %v", text, code, again, err)
		}
	})
}

// The price of a code, which is what an attacker pays for each attempt.
func BenchmarkOf(b *testing.B) {
	public := key(0)
	for b.Loop() {
		Of(public)
	}
}
