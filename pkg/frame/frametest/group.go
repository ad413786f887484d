package frametest

import (
	"fmt"
	"strings"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// group makes parts of the recorded names: one per second word of the metric
// name, which is the collector of node_exporter that reads it.
func group(names []string) ([]model.Part, error) {
	var parts []model.Part
	for _, text := range names {
		name, labels, err := series(text)
		if err != nil {
			return nil, err
		}
		words := strings.SplitN(name, "_", 3)
		if len(words) < 2 {
			return nil, fmt.Errorf("series %q names no collector", text)
		}
		if len(parts) == 0 || parts[len(parts)-1].Collector != words[1] {
			parts = append(parts, model.Part{Collector: words[1]})
		}
		part := &parts[len(parts)-1]
		if n := len(part.Families); n == 0 || part.Families[n-1].Name != name {
			part.Families = append(part.Families, model.Family{Name: name, Type: kind(name), Scale: scale(name)})
		}
		family := &part.Families[len(part.Families)-1]
		family.Series = append(family.Series, labels)
	}
	return parts, nil
}

// kind is the metric type that node_exporter gives the family.
func kind(name string) model.MetricType {
	switch {
	case strings.HasPrefix(name, "node_netstat_"), strings.HasPrefix(name, "node_vmstat_"):
		return model.Untyped
	case strings.HasSuffix(name, "_total"):
		return model.Counter
	}
	return model.Gauge
}

// scales are the units of the kernel where they are finer than one, by the
// beginning of the name; the first that fits counts.
var scales = [...]struct {
	prefix, suffix string
	digits         uint8
}{
	{"node_cpu_", "_seconds_total", 2},      // USER_HZ
	{"node_disk_", "_seconds_total", 3},     // milliseconds
	{"node_load", "", 2},                    // two printed digits
	{"node_pressure_", "_seconds_total", 6}, // microseconds
	{"node_time_seconds", "", 7},            // what a float64 resolves of it
	{"node_timex_offset_seconds", "", 9},    // nanoseconds
	{"node_timex_", "_seconds", 6},          // microseconds
}

func scale(name string) uint8 {
	for _, s := range scales {
		if strings.HasPrefix(name, s.prefix) && strings.HasSuffix(name, s.suffix) {
			return s.digits
		}
	}
	return 0
}

// series takes metric{label="value",...} apart.
func series(text string) (name string, labels model.Labels, err error) {
	name, rest, labelled := strings.Cut(text, "{")
	for labelled && rest != "}" {
		label, quoted, ok := strings.Cut(rest, `="`)
		if !ok {
			return "", nil, fmt.Errorf("series %q: want label=\"value\" at %q", text, rest)
		}
		value, after, ok := unquote(quoted)
		if !ok {
			return "", nil, fmt.Errorf("series %q: value of %s is not closed", text, label)
		}
		labels = append(labels, model.Label{Name: label, Value: value})
		rest = strings.TrimPrefix(after, ",")
	}
	return name, labels, nil
}

// unquote reads up to the closing quote, undoing \\, \" and \n.
func unquote(text string) (value, rest string, ok bool) {
	var b strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '"':
			return b.String(), text[i+1:], true
		case text[i] == '\\' && i+1 < len(text):
			i++
			if text[i] == 'n' {
				b.WriteByte('\n')
				continue
			}
			fallthrough
		default:
			b.WriteByte(text[i])
		}
	}
	return "", "", false
}
