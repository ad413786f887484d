package trust

import (
	"crypto/rand"
	"fmt"
	"strings"
	"testing"
)

func TestAWebAuthorityIsNoAuthorityOfTheFleet(t *testing.T) {
	web, err := NewWebCA("lab", rand.Reader, noon())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ParseBundle(web.CertPEM()); err == nil {
		t.Errorf("a bundle takes it")
	}
	data, err := web.PEM()
	if err != nil {
		t.Fatal(err)
	}
	again, err := ParseWebCA(data, "x")
	if err != nil || !again.Certificate().Equal(web.Certificate()) {
		t.Errorf("read again: %v", err)
	}
	lab := newFleet(t, "lab")
	fleet, err := lab.PEM()
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewWebCA("lab", rand.Reader, noon())
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string][]byte{"nothing": nil, "the fleet's own": fleet, "no key": web.CertPEM(),
		"another's certificate": append(other.CertPEM(), data[len(web.CertPEM()):]...)} {
		if _, err := ParseWebCA(bad, "x"); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if text := fmt.Sprintf("%v %+v %#v %s %x", web, web, web, web, web); strings.Contains(text, "PRIVATE") || strings.Count(text, "web authority") != 5 {
		t.Errorf("printed: %s", text)
	}
}

func FuzzParseWebCA(f *testing.F) {
	web, err := NewWebCA("lab", rand.Reader, noon())
	if err != nil {
		f.Fatal(err)
	}
	good, err := web.PEM()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(web.CertPEM())
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		read, err := ParseWebCA(data, "x")
		if err != nil {
			return
		}
		text, err := read.PEM()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseWebCA(text, "x"); err != nil {
			t.Errorf("written again: %v", err)
		}
	})
}
