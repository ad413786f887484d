package event

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func boot1() model.BootID { return model.BootIDFrom([16]byte{1, 2, 3}) }

func full() Gap {
	return Gap{Cause: SpoolFull, Boot: boot1(), From: 1795311000000, To: 1795311060000, FirstSeq: 17, LastSeq: 76, Frames: 60, Samples: 30000, Text: "256MiB are used"}
}

// TestTheWireForm is what the other end relies on, and docs/formats/event.md shows.
func TestTheWireForm(t *testing.T) {
	f := func(g Gap, want string) {
		t.Helper()
		if got := string(Append(nil, OfGap(g))); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		parsed, err := Parse([]byte(want))
		if err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		if diff := cmp.Diff(OfGap(g), parsed); diff != "" {
			t.Errorf("%s (-want +got):\n%s", want, diff)
		}
	}
	f(full(), `{"type":"gap","cause":"spool_full","boot":"01020300-0000-4000-8000-000000000000","from_ms":1795311000000,"to_ms":1795311060000,`+
		`"first_seq":17,"last_seq":76,"frames":60,"samples":30000,"text":"256MiB are used"}`)
	f(Gap{Cause: HostOff, From: 1, To: 2}, `{"type":"gap","cause":"host_off","from_ms":1,"to_ms":2}`)
	f(Gap{Cause: "from_tomorrow", To: MaxTime}, `{"type":"gap","cause":"from_tomorrow","from_ms":0,"to_ms":253402300799999}`)
}

func TestTypesOfTomorrowAreKept(t *testing.T) {
	raw := `{"at_ms": 5, "type": "oom_kill", "process": {"name": "x", "name": "y"}}`
	got, err := Parse([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	want := Event{Type: TypeOther, Name: "oom_kill", Raw: []byte(raw)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if back := string(Append([]byte("> "), got)); back != "> "+raw {
		t.Errorf("written again: got %s", back)
	}
}

func TestWhatIsRefused(t *testing.T) {
	good := `{"type":"gap","cause":"host_off","from_ms":1,"to_ms":2}`
	if _, err := Parse([]byte(good)); err != nil {
		t.Fatal(err)
	}
	f := func(text string) {
		t.Helper()
		if e, err := Parse([]byte(text)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%.200s: got %+v, %v", text, e, err)
		}
	}
	with := func(extra string) string { return strings.TrimSuffix(good, "}") + "," + extra + "}" }
	f("")
	f("null")
	f("[]")
	f(`"gap"`)
	f(`{}`)
	f(good + " ")
	f(good + good)
	f(" " + good)
	f(good[:len(good)-1])
	f(`{"type":7}`)
	f(`{"type":"Gap"}`)
	f(`{"type":""}`)
	f(`{"type":"` + strings.Repeat("a", 33) + `"}`)
	f(`{"Type":"gap","cause":"host_off","from_ms":1,"to_ms":2}`)
	f(`{"type":"gap","cause":"host_off","from_ms":1}`)
	f(`{"type":"gap","cause":"host_off","to_ms":1}`)
	f(`{"type":"gap","from_ms":1,"to_ms":2}`)
	f(`{"type":"gap","cause":"host_off","from_ms":3,"to_ms":2}`)
	f(`{"type":"gap","cause":"host off","from_ms":1,"to_ms":2}`)
	f(`{"type":"gap","cause":"host_off","from_ms":-1,"to_ms":2}`)
	f(`{"type":"gap","cause":"host_off","from_ms":1,"to_ms":253402300800000}`)
	f(with(`"to_ms":2`))
	f(with(`"more":2`))
	f(with(`"boot":null`))
	f(with(`"boot":"00000000-0000-0000-0000-000000000000"`))
	f(with(`"first_seq":1`))
	f(with(`"first_seq":2,"last_seq":1`))
	f(with(`"frames":1.0`))
	f(with(`"frames":1e3`))
	f(with(`"frames":"1"`))
	f(with(`"frames":9007199254740992`))
	f(with(`"samples":-1`))
	f(with(`"text":"two\nlines"`))
	f(with(`"text":"` + strings.Repeat("a", MaxText+1) + `"`))
	f(with("\"text\":\"\xff\""))
	f(`{"type":"boot","text":"` + strings.Repeat("a", MaxSize) + `"}`)
	f(strings.Repeat("[", MaxSize))
}

func TestWhatIsWrittenCanBeRead(t *testing.T) {
	f := func(g, want Gap) {
		t.Helper()
		if g.Check() == nil {
			t.Errorf("%+v is fine as it is", g)
		}
		got, err := Parse(Append(nil, OfGap(g)))
		if err != nil {
			t.Fatalf("%+v: %v", g, err)
		}
		if diff := cmp.Diff(OfGap(want), got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", g, diff)
		}
	}
	f(Gap{Cause: "Not A Name", From: 1, To: 2}, Gap{Cause: CauseOther, From: 1, To: 2})
	f(Gap{Cause: HostOff, From: 7, To: 2}, Gap{Cause: HostOff, From: 7, To: 7})
	f(Gap{Cause: HostOff, From: -7, To: -8}, Gap{Cause: HostOff})
	f(Gap{Cause: HostOff, From: math.MaxInt64, To: 2}, Gap{Cause: HostOff, From: MaxTime, To: MaxTime})
	f(Gap{Cause: HostOff, LastSeq: 3}, Gap{Cause: HostOff, FirstSeq: 3, LastSeq: 3})
	f(Gap{Cause: HostOff, FirstSeq: 3, LastSeq: 2}, Gap{Cause: HostOff, FirstSeq: 3, LastSeq: 3})
	f(Gap{Cause: HostOff, Frames: math.MaxUint64, Samples: math.MaxUint64}, Gap{Cause: HostOff, Frames: MaxCount, Samples: MaxCount})
	f(Gap{Cause: HostOff, Text: "a\nb\xff"}, Gap{Cause: HostOff, Text: "a?b?"})
}

func TestTheLargestGapFits(t *testing.T) {
	g := Gap{Cause: Cause(strings.Repeat("a", 32)), Boot: boot1(), From: MaxTime, To: MaxTime, FirstSeq: MaxCount, LastSeq: MaxCount,
		Frames: MaxCount, Samples: MaxCount, Text: strings.Repeat("<", MaxText)}
	encoded := Append(nil, OfGap(g))
	if _, err := Parse(encoded); err != nil {
		t.Errorf("%d bytes: %v", len(encoded), err)
	}
}

func TestEveryCauseIsNamedAndExplained(t *testing.T) {
	for _, c := range Causes() {
		if !c.Valid() || c.Text() == "" {
			t.Errorf("cause %q: explained as %q", c, c.Text())
		}
		if c.Refused() != strings.HasPrefix(string(c), "refused_") {
			t.Errorf("cause %q: refused is %t", c, c.Refused())
		}
	}
	if Cause("new").Text() != "" {
		t.Error("an unknown cause is explained")
	}
}

func TestEventsWithoutContentPanic(t *testing.T) {
	for _, e := range []Event{{}, {Type: TypeGap}, {Type: TypeOther}, {Type: TypeOther, Raw: Append(nil, OfGap(full()))}, {Type: "boot"}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%+v was written", e)
				}
			}()
			Append(nil, e)
		}()
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Append(nil, OfGap(full())))
	f.Add([]byte(`{"type":"gap","cause":"host_off","from_ms":1,"to_ms":2}`))
	f.Add([]byte(`{"type":"boot","kernel":"6.1"}`))
	f.Add([]byte(`{"type":"gap","text":"\ud800"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Parse(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("error of another kind: %v", err)
			}
			return
		}
		again, err := Parse(Append(nil, e))
		if err != nil {
			t.Fatalf("written again it is refused: %v", err)
		}
		if diff := cmp.Diff(e, again); diff != "" {
			t.Errorf("written and read again (-first +again):\n%s", diff)
		}
	})
}
