package stream

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

var compareMessages = cmp.AllowUnexported(hello{}, welcome{}, records{}, ack{}, refuse{}, window{}, ping{}, pong{}, bye{}, reject{})

// vectors are messages as they stand on the wire; the doc comment draws them.
func vectors() map[string]message {
	return map[string]message{
		"01 4c0000" + "02 02" + "101112131415161718191a1b1c1d1e1f" + "000102030405060708090a0b0c0d0e0f" + "0700000000000000" + "0903000000000000" + "0000fe8d9c689718" + "0100" + "a0a1a2a3a4a5a6a7a8a9aaabacadaeaf": hello{
			role: roleBackfill, session: model.BootID{16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31},
			boot: model.BootID{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, first: 7, next: 777, clock: 1772000000000000000,
			parts: []frame.PartID{{0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf}}},
		"02 210000 02 0600000000000000 00001000 0200000000000000 0300000000000000 0900 8101": welcome{resume: 6, window: 1 << 20, received: 2, sent: 3,
			wanted: []bool{true, false, false, false, false, false, false, true, true}},
		"03 050000 68656c6c6f":       records{[]byte("hello")},
		"04 080000 0807060504030201": ack{0x0102030405060708},
		"05 0a0000 09 00 30750000 66756c6c": refuse{Refusal{Cause: CauseFull, RetryAfter: 30 * time.Second,
			Text: "full"}},
		"05 060000 05 01 00000000":   refuse{Refusal{Cause: CauseIdentity, Permanent: true}},
		"06 040000 00000100":         window{1 << 16},
		"07 080000 ffffffffffffffff": ping{-1},
		"08 180000 0100000000000000 0200000000000000 0300000000000000": pong{1, 2, 3},
		"09 000000": bye{},
		"0a 180000 0b 0500000000000000 0900000000000000 03000000 77656b": reject{CauseFuture, 5, 9, 3, "wek"},
	}
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestMessagesOnTheWire(t *testing.T) {
	for text, want := range vectors() {
		encoded := unhex(t, text)
		if got := appendMessage([]byte("x"), want); !bytes.Equal(got[1:], encoded) || got[0] != 'x' {
			t.Errorf("%+v: got %x, want %x", want, got[1:], encoded)
		}
		got, n, err := parseMessage(append(encoded[:len(encoded):len(encoded)], "more"...))
		if err != nil || n != len(encoded) {
			t.Errorf("%x: read %d of %d bytes, %v", encoded, n, len(encoded), err)
			continue
		}
		if diff := cmp.Diff(want, got, compareMessages); diff != "" {
			t.Errorf("%x (-want +got):\n%s", encoded, diff)
		}
		for cut := range encoded {
			if m, _, err := parseMessage(encoded[:cut]); !errors.Is(err, errShort) {
				t.Errorf("%x cut to %d bytes: got %+v, %v; want errShort", encoded, cut, m, err)
			}
		}
	}
}

func TestMalformedMessages(t *testing.T) {
	for name, text := range map[string]string{
		"type 0":                     "00 000000",
		"type 11":                    "0b 000000",
		"ack too short":              "04 070000 00000000000000",
		"ack too long":               "04 090000 000000000000000000",
		"bye with a body":            "09 010000 00",
		"records without a body":     "03 000000",
		"records longer than may be": "03 010010",
		"hello with half a part id":  "01 440000 02 01 000102030405060708090a0b0c0d0e0f 000102030405060708090a0b0c0d0e0f 0700000000000000 0903000000000000 0000000000000000 0100 a0a1a2a3a4a5a6a7",
		"hello that ends early":      "01 3c0000 02 01 000102030405060708090a0b0c0d0e0f 000102030405060708090a0b0c0d0e0f 0700000000000000 0903000000000000 0000000000000000 0100",
		"hello of no boot":           "01 3c0000 02 02 000102030405060708090a0b0c0d0e0f 00000000000000000000000000000000 0700000000000000 0903000000000000 0000000000000000 0000",
		"hello of no process":        "01 3c0000 02 02 00000000000000000000000000000000 000102030405060708090a0b0c0d0e0f 0700000000000000 0903000000000000 0000000000000000 0000",
		"hello of no role":           "01 3c0000 02 00 000102030405060708090a0b0c0d0e0f 000102030405060708090a0b0c0d0e0f 0700000000000000 0903000000000000 0000000000000000 0000",
		"hello of another role":      "01 3c0000 02 03 000102030405060708090a0b0c0d0e0f 000102030405060708090a0b0c0d0e0f 0700000000000000 0903000000000000 0000000000000000 0000",
		"live hello of another boot": "01 3c0000 02 01 101112131415161718191a1b1c1d1e1f 000102030405060708090a0b0c0d0e0f 0700000000000000 0903000000000000 0000000000000000 0000",
		"hello of an empty backlog":  "01 3c0000 02 02 101112131415161718191a1b1c1d1e1f 000102030405060708090a0b0c0d0e0f 0700000000000000 0700000000000000 0000000000000000 0000",
		"hello shorter than may be":  "01 2b0000 02 01 000102030405060708090a0b0c0d0e0f 0700000000000000 0903000000000000 0000000000000000 00",
		"hello of record 0":          "01 3c0000 02 01 000102030405060708090a0b0c0d0e0f 000102030405060708090a0b0c0d0e0f 0000000000000000 0903000000000000 0000000000000000 0000",
		"hello of a negative range":  "01 3c0000 02 01 000102030405060708090a0b0c0d0e0f 000102030405060708090a0b0c0d0e0f 0700000000000000 0600000000000000 0000000000000000 0000",
		"welcome, bits too few":      "02 200000 02 0600000000000000 00001000 0200000000000000 0300000000000000 0900 81",
		"welcome, bits too many":     "02 210000 02 0600000000000000 00001000 0200000000000000 0300000000000000 0800 8100",
		"welcome, stray bit":         "02 200000 02 0600000000000000 00001000 0200000000000000 0300000000000000 0700 80",
		"refusal, flag of 2":         "05 060000 09 02 30750000",
		"refusal, text not UTF-8":    "05 080000 09 00 30750000 ffff",
		"reject of no record":        "0a 150000 0b 0500000000000000 0900000000000000 00000000",
		"reject going back":          "0a 150000 0b 0900000000000000 0500000000000000 01000000",
		"reject of more than fit":    "0a 150000 0b 0500000000000000 0900000000000000 06000000",
		"reject, text not UTF-8":     "0a 160000 0b 0500000000000000 0900000000000000 05000000 ff",
	} {
		if m, _, err := parseMessage(unhex(t, text)); !errors.Is(err, errMalformed) {
			t.Errorf("%s: got %+v, %v; want errMalformed", name, m, err)
		}
	}
	for _, text := range []string{
		"01 2b0000 01 000102030405060708090a0b0c0d0e0f 0700000000000000 0903000000000000 0000000000000000 0000",
		"01 4c0000 03 000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f000102030405060708090a0b0c0d0e0f000000000000000000000000",
		"02 1f0000 01 0600000000000000 00001000 0200000000000000 0300000000000000 0000",
	} {
		if m, _, err := parseMessage(unhex(t, text)); !errors.Is(err, errVersion) {
			t.Errorf("another version: got %+v, %v; want errVersion", m, err)
		}
	}
}

func TestLongTextsAreClippedAtACharacter(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"short", "short"},
		{strings.Repeat("a", 2000), strings.Repeat("a", MaxText)},
		{"a" + strings.Repeat("é", 2000), "a" + strings.Repeat("é", (MaxText-1)/2)},
		{"not \xff UTF-8", "not  UTF-8"},
	} {
		for _, m := range []message{refuse{Refusal{Text: c.text}}, reject{from: 1, through: 1, records: 1, text: c.text}} {
			got, _, err := parseMessage(appendMessage(nil, m))
			if err != nil {
				t.Errorf("%.10q: %v", c.text, err)
				continue
			}
			text := ""
			switch got := got.(type) {
			case refuse:
				text = got.Text
			case reject:
				text = got.text
			}
			if text != c.want {
				t.Errorf("%.10q: got %d bytes %.10q, want %d", c.text, len(text), text, len(c.want))
			}
		}
	}
	for d, want := range map[time.Duration]uint32{-time.Second: 0, 1500 * time.Microsecond: 1, 1 << 62: 1<<32 - 1} {
		if got := millis(d); got != want {
			t.Errorf("millis(%v) = %d, want %d", d, got, want)
		}
	}
}

// FuzzMessage: any bytes are an error or a message, and a message has exactly
// one encoding.
func FuzzMessage(f *testing.F) {
	for text := range vectors() {
		f.Add(unhex(f, text))
	}
	f.Add([]byte{1, 0xff, 0xff, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, n, err := parseMessage(b)
		if err != nil {
			return
		}
		if again := appendMessage(nil, m); !bytes.Equal(again, b[:n]) {
			t.Errorf("%x parses as %+v, which is written %x", b[:n], m, again)
		}
	})
}
