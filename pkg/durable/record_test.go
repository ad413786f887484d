package durable

import (
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"
	"time"
)

// example is the segment that docs/formats/log.md shows.
func example() []byte {
	h := header{number: 17, salt: [8]byte([]byte("saltsalt")), first: 301, follows: 301, created: time.Unix(1795310400, 0)}
	k := newKey(h.salt)
	b := h.append(nil)
	b = k.append(b, 0, kindRecord, []byte("first"))
	b = k.append(b, 1, kindSure, []byte("second"))
	b = k.append(b, 2, kindRecord, nil)
	return k.appendMark(b, 3, 3)
}

func TestTheDocumentShowsTheBytes(t *testing.T) {
	page, err := os.ReadFile("../../docs/formats/log.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(page), "<!-- example -->")
	shown, _, found := strings.Cut(rest, "<!-- end -->")
	if !found {
		t.Fatal("log.md: no example")
	}
	var digits strings.Builder
	for line := range strings.Lines(shown) {
		if !strings.HasPrefix(line, "    ") {
			continue
		}
		code, _, _ := strings.Cut(line, "|")
		digits.WriteString(strings.Join(strings.Fields(code), ""))
	}
	got, err := hex.DecodeString(digits.String())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, example()) {
		t.Errorf("log.md shows another example:\ngot  %x\nwant %x", got, example())
	}
}

func TestTheExampleIsRead(t *testing.T) {
	w := walk(t, example(), 0)
	want := []struct {
		kind kind
		data string
	}{{kindRecord, "first"}, {kindSure, "second"}, {kindRecord, ""}, {kindMark, "\x03\x00\x00\x00"}}
	for i, entry := range want {
		got, err := w.next()
		if err != nil {
			t.Fatal(err)
		}
		if got.kind != entry.kind || string(got.data) != entry.data {
			t.Errorf("entry %d: got %d %q, want %d %q", i, got.kind, got.data, entry.kind, entry.data)
		}
	}
	if w.index() != 304 {
		t.Errorf("next index %d, want 304", w.index())
	}
}

// walk is a walker over the bytes of a segment file.
func walk(t testing.TB, file []byte, end uint64) *walker {
	t.Helper()
	h, err := parseHeader(file)
	if err != nil {
		t.Fatal(err)
	}
	var w walker
	w.enter("file", h, end, bytes.NewReader(file).ReadAt)
	return &w
}

func TestHeadersThatAreRefused(t *testing.T) {
	good := header{number: 1, first: 7, follows: 7, created: time.Unix(1, 0)}
	with := func(change func(h *header)) []byte {
		h := good
		change(&h)
		return h.append(nil)
	}
	newer := WithPrelude(good.append(nil), version+1)
	for name, test := range map[string]struct {
		bytes []byte
		newer bool
	}{
		"empty":                        {nil, false},
		"cut off":                      {good.append(nil)[:headerSize-1], false},
		"another file":                 {bytes.Repeat([]byte("x"), headerSize), false},
		"zeros":                        {make([]byte, headerSize), false},
		"no first index":               {with(func(h *header) { h.first = 0 }), false},
		"first before what it follows": {with(func(h *header) { h.follows = 8 }), false},
		"newer":                        {newer, true},
		"newer, cut off":               {newer[:prelude], true},
	} {
		_, err := parseHeader(test.bytes)
		if err == nil || errors.Is(err, ErrNewerFormat) != test.newer {
			t.Errorf("%s: got %v, want one that is ErrNewerFormat: %v", name, err, test.newer)
		}
	}
	file := good.append(nil)
	for i := range file {
		for bit := range 8 {
			bad := bytes.Clone(file)
			bad[i] ^= 1 << bit
			if _, err := parseHeader(bad); err == nil || errors.Is(err, ErrNewerFormat) {
				t.Errorf("byte %d, bit %d flipped: got %v", i, bit, err)
			}
		}
	}
}

func TestBytesThatLookLikeEntriesAreNone(t *testing.T) {
	h := header{number: 1, salt: [8]byte{1}, first: 1, follows: 1, created: time.Unix(1, 0)}
	k, other := newKey(h.salt), newKey([8]byte{2})
	planted := other.append(nil, 1, kindRecord, []byte("planted"))
	stale := k.append(nil, 0, kindRecord, []byte("stale")) // of this segment, but its number is behind
	b := h.append(nil)
	b = k.append(b, 0, kindRecord, []byte("before"))
	hit := len(b)
	b = k.append(b, 1, kindRecord, append(bytes.Repeat(planted, 20), bytes.Repeat(stale, 20)...))
	after := len(b)
	b = k.append(b, 2, kindRecord, []byte("after"))
	b[hit] ^= 1 // the length is wrong: what follows must be looked for
	w := walk(t, b, 0)
	w.next()
	_, err := w.next()
	var damage *Damage
	if !errors.As(err, &damage) || damage.Offset != int64(hit) || damage.Length != int64(after-hit) || damage.Lost != (Range{2, 3}) {
		t.Fatalf("got %v", err)
	}
	if found, err := w.next(); err != nil || string(found.data) != "after" {
		t.Errorf("got %q, %v", found.data, err)
	}
}

func TestAFullLookBehindDamageIsFast(t *testing.T) {
	h := header{number: 1, salt: [8]byte{1}, first: 1, follows: 1, created: time.Unix(1, 0)}
	k := newKey(h.salt)
	b := h.append(nil)
	b = k.append(b, 0, kindRecord, nil)
	// Heads that would be possible if they were of this segment, each of a large
	// record: a checksum of megabytes for each would take minutes.
	planted := newKey([8]byte{9}).append(nil, 5, kindRecord, nil)
	planted[2] = 0x3f
	b = append(b, bytes.Repeat(planted, 16<<20/len(planted))...)
	w := walk(t, b, 0)
	w.next()
	start := time.Now()
	_, err := w.next()
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("took %v", took)
	}
	var damage *Damage
	if !errors.As(err, &damage) {
		t.Errorf("got %v", err)
	}
}
