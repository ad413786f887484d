package model

import "testing"

func TestBytesText(t *testing.T) {
	for text, want := range map[string]Bytes{
		"0B": 0, "0": 0, "1023": 1023, "1KiB": KiB, "64 MiB": 64 * MiB, "3GiB": 3 * GiB, "2TiB": 2 * TiB,
	} {
		got, err := ParseBytes(text)
		if err != nil || got != want {
			t.Errorf("ParseBytes(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
	for size, want := range map[Bytes]string{0: "0B", 1: "1B", 1024: "1KiB", 1536: "1536B", 64 * MiB: "64MiB", 5 * TiB: "5TiB"} {
		if got := size.String(); got != want {
			t.Errorf("Bytes(%d).String() = %q, want %q", uint64(size), got, want)
		}
	}
}

func TestBytesRefusesWhatIsNoSize(t *testing.T) {
	for _, text := range []string{"", "MiB", "-1B", "1.5MiB", "64MB", "64mib", "18446744073709551615TiB", "99999999999999999999"} {
		if got, err := ParseBytes(text); err == nil {
			t.Errorf("ParseBytes(%q) = %d, want an error", text, got)
		}
	}
}

func FuzzParseBytes(f *testing.F) {
	f.Add("64MiB")
	f.Fuzz(func(t *testing.T, text string) {
		size, err := ParseBytes(text)
		if err != nil {
			return
		}
		if again, err := ParseBytes(size.String()); err != nil || again != size {
			t.Errorf("%q parsed to %d, whose text %q parses to %d, %v", text, size, size, again, err)
		}
	})
}
