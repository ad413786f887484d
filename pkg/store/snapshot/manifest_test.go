package snapshot

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func example() Manifest {
	return Manifest{Created: created, Files: []File{
		{Path: "gaps/000000000001.log", Bytes: 4711, CRC: 0x0a1b2c3d},
		{Path: "journal/000000000007.log", Bytes: 64, CRC: 0},
		{Path: "volumes/00000001.raw", Bytes: 1 << 40, CRC: 0xffffffff},
	}}
}

const golden = `{"manifest":{"version":1,"created":"2026-07-01T12:00:00.000000005Z","files":[
{"path":"gaps/000000000001.log","bytes":4711,"crc32c":"0a1b2c3d"},
{"path":"journal/000000000007.log","bytes":64,"crc32c":"00000000"},
{"path":"volumes/00000001.raw","bytes":1099511627776,"crc32c":"ffffffff"}]},"crc32c":"4223aef3"}
`

func TestTheManifestIsWrittenLikeThis(t *testing.T) {
	b := example().Append(nil)
	if diff := cmp.Diff(golden, string(b)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, m := range []Manifest{example(), {Created: created}} {
		got, err := Parse(m.Append(nil))
		check(t, err)
		if diff := cmp.Diff(m, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
	if got := example().Bytes(); got != 4711+64+1<<40 {
		t.Errorf("bytes: %d", got)
	}
}

// resealed is a manifest of that text, with a checksum that fits.
func resealed(inner string) []byte {
	return fmt.Appendf(nil, `{"manifest":%s,"crc32c":"%08x"}`+"\n", inner, checksum([]byte(inner)))
}

func TestWhatIsNoManifest(t *testing.T) {
	whole := golden[len(opening):strings.LastIndex(golden, `,"crc32c"`)]
	if _, err := Parse(resealed(whole)); err != nil {
		t.Fatal(err)
	}
	for from, to := range map[string]string{
		`"version":1`:          `"version":0`,
		`"version":1,`:         ``,
		`"created":"2026`:      `"created":"x2026`,
		`"bytes":64`:           `"bytes":-64`,
		`"bytes":4711`:         `"bytes":04711`,
		`0a1b2c3d`:             `0A1B2C3D`,
		`00000000`:             `0`,
		`ffffffff`:             `1ffffffff`,
		`journal/000000000007`: `journal/../000000000007`,
		`gaps/0`:               `../gaps/0`,
		`volumes/`:             `gaps/`, // does not rise
		`gaps/000000000001`:    `other/000000000001`,
		`volumes/00000001.raw`: `volumes/.x`,
		`"path":"volumes`:      `"extra":1,"path":"volumes`,
		"\n":                   "\n ",
	} {
		text := strings.Replace(whole, from, to, 1)
		if text == whole {
			t.Fatalf("%q is not in the example", from)
		}
		if _, err := Parse(resealed(text)); err == nil || errors.Is(err, ErrNewerFormat) {
			t.Errorf("%q instead of %q: got %v", to, from, err)
		}
	}
	newer := resealed(strings.Replace(whole, `"version":1`, `"version":2,"new":true`, 1))
	if _, err := Parse(newer); !errors.Is(err, ErrNewerFormat) {
		t.Errorf("of a newer release: %v", err)
	}
	for at := range golden {
		for bit := range 8 {
			b := []byte(golden)
			b[at] ^= 1 << bit
			if _, err := Parse(b); err == nil || errors.Is(err, ErrNewerFormat) {
				t.Fatalf("byte %d, bit %d: got %v", at, bit, err)
			}
		}
		if _, err := Parse([]byte(golden[:at])); err == nil {
			t.Fatalf("cut at byte %d", at)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(golden))
	f.Add(resealed(`{"version":1,"created":"2026-07-01T12:00:00.000000000Z","files":[]}`))
	f.Add(resealed(`{"version":1,"files":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Parse(b)
		if err == nil && string(m.Append(nil)) != string(b) {
			t.Errorf("%q was read as %+v", b, m)
		}
		// What the checksum keeps away is to be read, too.
		if m, err := Parse(resealed(string(b))); err == nil {
			for _, file := range m.Files {
				if strings.Contains(file.Path, "..") && strings.Contains(file.Path, "/.") || strings.Count(file.Path, "/") != 1 {
					t.Errorf("path %q", file.Path)
				}
			}
		}
	})
}
