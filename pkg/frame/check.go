package frame

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// checkPart holds a part against the rules of the vocabulary and the limits of
// the format.
func checkPart(p *model.Part) error {
	if p.Collector == "" {
		return fmt.Errorf("no collector: %w", ErrInvalid)
	}
	if err := checkText(p.Collector, MaxName); err != nil {
		return fmt.Errorf("collector %.40q: %w", p.Collector, err)
	}
	if len(p.Families) == 0 {
		return fmt.Errorf("collector %q has no families: %w", p.Collector, ErrInvalid)
	}
	names := make(map[string]struct{}, len(p.Families))
	columns, text := 0, 0
	for i := range p.Families {
		family := &p.Families[i]
		if columns += len(family.Series); columns > MaxPartColumns {
			return fmt.Errorf("collector %q: more than %d series: %w", p.Collector, MaxPartColumns, ErrLimit)
		}
		if err := checkFamily(family, grammarOf(p), &text); err != nil {
			return fmt.Errorf("collector %q, family %d %.40q: %w", p.Collector, i, family.Name, err)
		}
		if _, twice := names[family.Name]; twice {
			return fmt.Errorf("collector %q: family %q twice: %w", p.Collector, family.Name, ErrInvalid)
		}
		names[family.Name] = struct{}{}
	}
	return nil
}

// grammar says what names may look like.
type grammar struct{ isMetric, isLabel func(name string) bool }

// grammarOf is the classic one for what workers measure. What others measured is called as
// they like, if Prometheus takes it.
func grammarOf(p *model.Part) grammar {
	if p.IsSparse() {
		return grammar{
			isMetric: func(name string) bool { return name != "" && utf8.ValidString(name) },
			isLabel:  func(name string) bool { return name != "" && name != "__name__" && utf8.ValidString(name) },
		}
	}
	return grammar{
		isMetric: func(name string) bool { return isName(name, true) },
		isLabel:  func(name string) bool { return isName(name, false) && !strings.HasPrefix(name, "__") },
	}
}

// checkFamily adds the length of what the family's series are called to text.
func checkFamily(f *model.Family, names grammar, text *int) error {
	if !names.isMetric(f.Name) {
		return fmt.Errorf("not a metric name: %w", ErrInvalid)
	}
	if len(f.Name) > MaxName {
		return fmt.Errorf("name of %d bytes: %w", len(f.Name), ErrLimit)
	}
	if err := checkText(f.Help, MaxHelp); err != nil {
		return fmt.Errorf("help: %w", err)
	}
	if f.Type > model.Gauge {
		return fmt.Errorf("metric type %d: %w", f.Type, ErrInvalid)
	}
	if f.Scale > MaxScale {
		return fmt.Errorf("scale %d, want at most %d: %w", f.Scale, MaxScale, ErrInvalid)
	}
	if len(f.Series) == 0 {
		return fmt.Errorf("no series: %w", ErrInvalid)
	}
	seen := make(seriesSet, len(f.Series))
	for i, labels := range f.Series {
		*text += len(f.Name)
		for _, label := range labels {
			*text += len(label.Name) + len(label.Value)
		}
		if *text > MaxPartText {
			return fmt.Errorf("series %d: more than %d bytes of names and labels in the part: %w", i, MaxPartText, ErrLimit)
		}
		if err := checkLabels(labels, names); err != nil {
			return fmt.Errorf("series %d: %w", i, err)
		}
		if !seen.add(f.Name, labels) {
			return fmt.Errorf("series %d occurs twice: %w", i, ErrInvalid)
		}
	}
	return nil
}

func checkLabels(labels model.Labels, names grammar) error {
	if len(labels) > MaxLabels {
		return fmt.Errorf("%d labels: %w", len(labels), ErrLimit)
	}
	for i, label := range labels {
		if !names.isLabel(label.Name) {
			return fmt.Errorf("%.40q is no label name: %w", label.Name, ErrInvalid)
		}
		if len(label.Name) > MaxName {
			return fmt.Errorf("label name of %d bytes: %w", len(label.Name), ErrLimit)
		}
		if i > 0 && labels[i-1].Name >= label.Name {
			return fmt.Errorf("label %q after %q: %w", label.Name, labels[i-1].Name, ErrInvalid)
		}
		if err := checkText(label.Value, MaxValue); err != nil {
			return fmt.Errorf("value of label %q: %w", label.Name, err)
		}
	}
	return nil
}

// checkShared refuses a series that two parts of one schema have: a frame
// would hold two values for it.
func checkShared(parts []model.Part) error {
	owner := map[string]int{} // of a family name: part number, or -1 for several
	for i := range parts {
		for j := range parts[i].Families {
			name := parts[i].Families[j].Name
			if first, known := owner[name]; known && first != i {
				owner[name] = -1
			} else {
				owner[name] = i
			}
		}
	}
	seen := seriesSet{}
	for i := range parts {
		for j := range parts[i].Families {
			family := &parts[i].Families[j]
			if owner[family.Name] >= 0 {
				continue
			}
			for k, labels := range family.Series {
				if !seen.add(family.Name, labels) {
					return fmt.Errorf("part %d: series %d of %q is in an earlier part too: %w", i, k, family.Name, ErrInvalid)
				}
			}
		}
	}
	return nil
}

// seriesSet holds series by what identifies them. A label without a value
// does not: Prometheus takes it for absent.
type seriesSet map[string]struct{}

// add reports whether the series is new.
func (s seriesSet) add(name string, labels model.Labels) bool {
	key := appendKey(nil, name)
	for _, label := range labels {
		if label.Value != "" {
			key = appendKey(appendKey(key, label.Name), label.Value)
		}
	}
	before := len(s)
	s[string(key)] = struct{}{}
	return len(s) > before
}

func appendKey(key []byte, text string) []byte {
	return append(binary.AppendUvarint(key, uint64(len(text))), text...)
}

// isName checks the classic Prometheus grammar of metric names, or of label
// names, which have no colons.
func isName(text string, colons bool) bool {
	for i := range len(text) {
		c := text[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', c == '_':
		case '0' <= c && c <= '9' && i > 0:
		case c == ':' && colons:
		default:
			return false
		}
	}
	return text != ""
}

func checkText(text string, most int) error {
	if len(text) > most {
		return fmt.Errorf("%d bytes, want at most %d: %w", len(text), most, ErrLimit)
	}
	if !utf8.ValidString(text) {
		return fmt.Errorf("not UTF-8: %w", ErrInvalid)
	}
	return nil
}
