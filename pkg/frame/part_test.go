package frame

import (
	"errors"
	"strings"
	"testing"

	"github.com/cloudless-fleet/cloudless/pkg/frame/frametest"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

func TestPartsOfTheRecordingComeBack(t *testing.T) {
	r, err := frametest.Node()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range r.Parts {
		b, err := AppendPart(nil, p)
		if err != nil {
			t.Fatal(err)
		}
		got, err := ParsePart(b)
		if err != nil {
			t.Fatalf("%s: %v", p.Collector, err)
		}
		if diff := diffText(p, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", p.Collector, diff)
		}
	}
}

// onePart is a part of one family, changed by change.
func onePart(change func(p *model.Part, f *model.Family)) model.Part {
	p := model.Part{Collector: "c", Families: []model.Family{{Name: "m", Series: []model.Labels{nil}}}}
	change(&p, &p.Families[0])
	return p
}

func labels(pairs ...string) func(*model.Part, *model.Family) {
	return func(_ *model.Part, f *model.Family) {
		f.Series = []model.Labels{{}}
		for i := 0; i < len(pairs); i += 2 {
			f.Series[0] = append(f.Series[0], model.Label{Name: pairs[i], Value: pairs[i+1]})
		}
	}
}

func TestPartsThatBreakARuleAreRefused(t *testing.T) {
	long := func(n int) string { return strings.Repeat("x", n) }
	f := func(what string, want error, change func(p *model.Part, f *model.Family)) {
		t.Helper()
		p := onePart(change)
		got, err := AppendPart([]byte("kept"), p)
		if !errors.Is(err, want) || want != nil && string(got) != "kept" {
			t.Errorf("%s: got %q and error %v, want %v", what, got, err, want)
		}
		if _, err := NewLayout([]model.Part{p}); !errors.Is(err, want) {
			t.Errorf("%s: layout: got error %v, want %v", what, err, want)
		}
	}
	f("nothing wrong", nil, func(p *model.Part, f *model.Family) {})
	f("no collector", ErrInvalid, func(p *model.Part, f *model.Family) { p.Collector = "" })
	f("long collector", ErrLimit, func(p *model.Part, f *model.Family) { p.Collector = long(MaxName + 1) })
	f("collector not UTF-8", ErrInvalid, func(p *model.Part, f *model.Family) { p.Collector = "\xff" })
	f("no families", ErrInvalid, func(p *model.Part, f *model.Family) { p.Families = nil })
	f("no series", ErrInvalid, func(p *model.Part, f *model.Family) { f.Series = nil })
	f("empty name", ErrInvalid, func(p *model.Part, f *model.Family) { f.Name = "" })
	f("name begins with a digit", ErrInvalid, func(p *model.Part, f *model.Family) { f.Name = "5m" })
	f("name with a dash", ErrInvalid, func(p *model.Part, f *model.Family) { f.Name = "a-b" })
	f("name with a letter beyond ASCII", ErrInvalid, func(p *model.Part, f *model.Family) { f.Name = "größe" })
	f("name with colons", nil, func(p *model.Part, f *model.Family) { f.Name = ":job:rate5m" })
	f("long name", ErrLimit, func(p *model.Part, f *model.Family) { f.Name = long(MaxName + 1) })
	f("long help", ErrLimit, func(p *model.Part, f *model.Family) { f.Help = long(MaxHelp + 1) })
	f("help not UTF-8", ErrInvalid, func(p *model.Part, f *model.Family) { f.Help = "\xc0\x80" })
	f("scale 9", nil, func(p *model.Part, f *model.Family) { f.Scale = 9 })
	f("scale 10", ErrInvalid, func(p *model.Part, f *model.Family) { f.Scale = 10 })
	f("unknown type", ErrInvalid, func(p *model.Part, f *model.Family) { f.Type = 3 })
	f("family twice", ErrInvalid, func(p *model.Part, f *model.Family) { p.Families = append(p.Families, *f) })
	f("series twice", ErrInvalid, func(p *model.Part, f *model.Family) { f.Series = make([]model.Labels, 2) })
	f("series twice but for an empty label", ErrInvalid, func(p *model.Part, f *model.Family) {
		f.Series = []model.Labels{nil, model.LabelsOf("a", "")}
	})
	f("too many series", ErrLimit, func(p *model.Part, f *model.Family) { f.Series = make([]model.Labels, MaxPartColumns+1) })
	f("too much text", ErrLimit, func(p *model.Part, f *model.Family) {
		*f = widePart("c", MaxPartText/MaxValue, 0).Families[0]
		for i := range f.Series {
			f.Series[i] = append(f.Series[i], model.Label{Name: "z", Value: long(MaxValue)})
		}
	})
	f("empty label value", nil, labels("a", ""))
	f("colon in a label name", ErrInvalid, labels("a:b", "x"))
	f("empty label name", ErrInvalid, labels("", "x"))
	f("reserved label name", ErrInvalid, labels("__name__", "x"))
	f("labels out of order", ErrInvalid, labels("b", "x", "a", "x"))
	f("label twice", ErrInvalid, labels("a", "x", "a", "y"))
	f("long label name", ErrLimit, labels(long(MaxName+1), "x"))
	f("long label value", ErrLimit, labels("a", long(MaxValue+1)))
	f("label value not UTF-8", ErrInvalid, labels("a", "\xff"))
	f("too many labels", ErrLimit, func(_ *model.Part, f *model.Family) {
		f.Series[0] = make(model.Labels, MaxLabels+1)
	})
}

func TestAPartHasOneEncodingOnly(t *testing.T) {
	good := `01 01 03 63 03 01 03 6d  01 01  02 00 03 01` // c, family m, no help, gauge of one series
	f := func(what string, want error, text string) {
		t.Helper()
		if _, err := ParsePart(unhex(t, text)); !errors.Is(err, want) {
			t.Errorf("%s: got error %v, want %v", what, err, want)
		}
	}
	f("good", nil, good)
	f("another version", ErrVersion, `02 01 03 63 03 01 03 6d 01 01 02 00 03 01`)
	f("a byte too many", ErrMalformed, good+` 00`)
	f("a long number", ErrMalformed, `01 01 03 63 0600 01 03 6d 01 01 02 00 03 01`)
	f("a text spelled out twice", ErrMalformed, `01 01 03 63 03 01 03 63 01 01 02 00 03 01`)
	f("a text not yet known", ErrMalformed, `01 01 03 63 03 05 01 01 02 00 03 01`)
	f("scale 10", ErrInvalid, `01 01 03 63 03 01 03 6d 01 01 02 0a 03 01`)
	f("a name that is none", ErrInvalid, `01 01 03 63 03 01 03 2d 01 01 02 00 03 01`)
	f("more series than bytes", ErrMalformed, `01 01 03 63 03 01 03 6d 01 01 02 00 c9 01`)
	f("too many labels", ErrLimit, `01 01 03 63 03 01 03 6d 01 01 02 00 03 43`)
	whole := unhex(t, good)
	for cut := range whole {
		if _, err := ParsePart(whole[:cut]); !errors.Is(err, ErrMalformed) {
			t.Errorf("%d bytes of %d: got error %v", cut, len(whole), err)
		}
	}
}

func TestSchemasComeBackOrAreRefused(t *testing.T) {
	whole := Schema{Parts: []PartID{{1}, {2}, {3}}}
	b := AppendSchema(nil, whole)
	got, err := ParseSchema(b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := diffText(whole, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	f := func(what string, want error, b []byte) {
		t.Helper()
		if _, err := ParseSchema(b); !errors.Is(err, want) {
			t.Errorf("%s: got error %v, want %v", what, err, want)
		}
	}
	f("a byte too many", ErrMalformed, append(b[:len(b):len(b)], 0))
	f("another version", ErrVersion, append([]byte{2}, b[1:]...))
	f("no parts", ErrInvalid, AppendSchema(nil, Schema{}))
	f("a part twice", ErrInvalid, AppendSchema(nil, Schema{Parts: []PartID{{1}, {1}}}))
	f("too many parts", ErrLimit, AppendSchema(nil, Schema{Parts: make([]PartID, MaxParts+1)}))
	f("a long number", ErrMalformed, append([]byte{1, 0x06, 0}, make([]byte, 16)...))
	for cut := range b {
		f("cut off", ErrMalformed, b[:cut])
	}
}

func TestASeriesInTwoPartsIsRefused(t *testing.T) {
	a := onePart(labels("a", "x"))
	b := onePart(labels("a", "y"))
	b.Collector = "d"
	if _, err := NewLayout([]model.Part{a, b}); err != nil {
		t.Errorf("one family in two parts: %v", err)
	}
	if _, err := NewLayout([]model.Part{a, b, a}); !errors.Is(err, ErrInvalid) {
		t.Errorf("one series in two parts: got error %v, want %v", err, ErrInvalid)
	}
	if _, err := NewLayout(nil); !errors.Is(err, ErrLimit) {
		t.Errorf("no parts: got error %v, want %v", err, ErrLimit)
	}
	if _, err := NewLayout(make([]model.Part, MaxParts+1)); !errors.Is(err, ErrLimit) {
		t.Errorf("too many parts: got error %v, want %v", err, ErrLimit)
	}
}

// What others measured is called as they like.
func TestNamesOfSparseParts(t *testing.T) {
	named := func(metric, label string) func(p *model.Part, f *model.Family) {
		return func(p *model.Part, f *model.Family) {
			p.Collector, f.Name = model.SparseCollector, metric
			f.Series = []model.Labels{{{Name: label, Value: "v"}}}
		}
	}
	for name, c := range map[string]struct {
		change func(p *model.Part, f *model.Family)
		want   error
	}{
		"dots":         {named("http.requests", "service.name"), nil},
		"any UTF-8":    {named("größe °", "ключ"), nil},
		"__type__":     {named("m", "__type__"), nil},
		"__name__":     {named("m", "__name__"), ErrInvalid},
		"no metric":    {named("", "l"), ErrInvalid},
		"no label":     {named("m", ""), ErrInvalid},
		"not UTF-8":    {named("m\xff", "l"), ErrInvalid},
		"label so":     {named("m", "l\xff"), ErrInvalid},
		"long":         {named("m", strings.Repeat("l", MaxName+1)), ErrLimit},
		"other parts":  {func(_ *model.Part, f *model.Family) { f.Name = "http.requests" }, ErrInvalid},
		"and their __": {labels("__type__", "v"), ErrInvalid},
	} {
		p := onePart(c.change)
		b, err := AppendPart(nil, p)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err != nil {
			continue
		}
		if got, err := ParsePart(b); err != nil || diffText(p, got) != "" {
			t.Errorf("%s: came back as %+v, %v", name, got, err)
		}
	}
}
