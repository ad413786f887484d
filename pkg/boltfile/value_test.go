package boltfile

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

func TestStoredForm(t *testing.T) {
	got := AppendValue([]byte{0xaa}, []byte("hello"))
	if want := "aa" + "01" + "9a71bb4c" + hex.EncodeToString([]byte("hello")); hex.EncodeToString(got) != want {
		t.Errorf("got %x, want %s", got, want)
	}
}

func TestEveryChangedBitIsFound(t *testing.T) {
	value := AppendValue(nil, []byte(`{"a":1}`))
	for i := range value {
		for bit := range 8 {
			spoilt := bytes.Clone(value)
			spoilt[i] ^= 1 << bit
			if _, err := OpenValue(spoilt); !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNewerFormat) {
				t.Errorf("bit %d of byte %d: %v", bit, i, err)
			}
		}
	}
}

func TestValuesThatAreNone(t *testing.T) {
	for name, test := range map[string]struct {
		value []byte
		want  error
	}{
		"nothing":         {nil, ErrDamaged},
		"half a header":   {[]byte{1, 0, 0, 0}, ErrDamaged},
		"version 0":       {[]byte{0, 0, 0, 0, 0}, ErrDamaged},
		"a newer version": {[]byte{2, 0, 0, 0, 0}, ErrNewerFormat},
		"too long":        {AppendValue(nil, make([]byte, MaxValue)), ErrDamaged},
		"not JSON":        {AppendValue(nil, []byte("hello")), ErrDamaged},
	} {
		var into struct{}
		if err := OpenJSON(test.value, &into); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	if _, err := AppendJSON(nil, make(chan int)); err == nil {
		t.Error("a channel was stored")
	}
}

func TestMillis(t *testing.T) {
	for ms, good := range map[int64]bool{0: true, lastMilli: true, -1: false, lastMilli + 1: false} {
		if err := CheckMillis(1, ms); (err == nil) != good {
			t.Errorf("%d ms: %v", ms, err)
		}
	}
}

func FuzzOpenValue(f *testing.F) {
	f.Add(AppendValue(nil, []byte("hello")))
	f.Fuzz(func(t *testing.T, b []byte) {
		content, err := OpenValue(b)
		if err != nil {
			if !errors.Is(err, ErrDamaged) && !errors.Is(err, ErrNewerFormat) {
				t.Fatal(err)
			}
			return
		}
		if again := AppendValue(nil, content); !bytes.Equal(again, b) {
			t.Fatalf("%x became %x", b, again)
		}
	})
}
