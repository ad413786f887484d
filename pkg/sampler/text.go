package sampler

import (
	"bufio"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// WritePrometheus writes the round in the Prometheus text format 0.0.4, as
// node_exporter would: families sorted by name, series by their labels, without
// timestamps. Absent values are left out.
func (s Snapshot) WritePrometheus(w io.Writer) error {
	buffered := bufio.NewWriter(w)
	for _, family := range s.sorted() {
		if len(family.lines) == 0 {
			continue
		}
		kind := family.kind.String()
		if family.kind == model.Untyped {
			kind = "untyped"
		}
		buffered.WriteString("# HELP " + family.name + " " + escapeHelp(family.help) + "\n# TYPE " + family.name + " " + kind + "\n")
		for _, line := range family.lines {
			buffered.WriteString(family.name + line + "\n")
		}
	}
	return buffered.Flush()
}

type textFamily struct {
	name, help string
	kind       model.MetricType
	lines      []string // what follows the name
}

// sorted renders all values and gathers families that several parts share.
func (s Snapshot) sorted() []*textFamily {
	byName := map[string]*textFamily{}
	var families []*textFamily
	column := 0
	for _, part := range s.Parts {
		for i := range part.Families {
			f := &part.Families[i]
			family := byName[f.Name]
			if family == nil {
				family = &textFamily{name: f.Name, help: f.Help, kind: f.Type}
				byName[f.Name] = family
				families = append(families, family)
			}
			for _, labels := range f.Series {
				if value := s.Row[column]; !model.IsAbsent(value) {
					family.lines = append(family.lines, labelText(labels)+" "+formatValue(value))
				}
				column++
			}
		}
	}
	slices.SortFunc(families, func(a, b *textFamily) int { return strings.Compare(a.name, b.name) })
	for _, family := range families {
		slices.Sort(family.lines)
	}
	return families
}

func labelText(labels model.Labels) string {
	if len(labels) == 0 {
		return ""
	}
	var text strings.Builder
	for i, label := range labels {
		text.WriteByte("{,"[min(i, 1)])
		text.WriteString(label.Name + `="` + escapeValue(label.Value) + `"`)
	}
	text.WriteByte('}')
	return text.String()
}

func escapeHelp(text string) string {
	return strings.NewReplacer(`\`, `\\`, "\n", `\n`).Replace(text)
}

func escapeValue(text string) string {
	return strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`).Replace(text)
}

func formatValue(value float64) string {
	switch {
	case math.IsNaN(value):
		return "NaN"
	case math.IsInf(value, 1):
		return "+Inf"
	case math.IsInf(value, -1):
		return "-Inf"
	}
	return strconv.FormatFloat(value, 'g', -1, 64)
}
