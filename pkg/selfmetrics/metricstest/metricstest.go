// Package metricstest checks what daemons tell of themselves: whether a list of
// metrics can be a part of their frames, and keeps to the names that people
// know from elsewhere.
package metricstest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/cloudless-fleet/cloudless/pkg/frame"
	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Check reports what is wrong with a list.
func Check(t testing.TB, metrics []model.Metric) {
	t.Helper()
	for _, problem := range problems(metrics) {
		t.Error(problem)
	}
}

// SameSeries reports series that one list has and the other one has not, or has
// elsewhere: the schema of the frames would change.
func SameSeries(t testing.TB, before, after []model.Metric) {
	t.Helper()
	if diff := cmp.Diff(names(before), names(after)); diff != "" {
		t.Errorf("the set of series has changed (-before +after):\n%s", diff)
	}
}

func problems(metrics []model.Metric) (found []string) {
	complain := func(format string, args ...any) { found = append(found, fmt.Sprintf(format, args...)) }
	families, series := map[string]model.Metric{}, map[string]bool{}
	for i, m := range metrics {
		name := nameOf(m)
		if series[name] {
			complain("%s: twice", name)
		}
		series[name] = true
		if !strings.HasPrefix(m.Name, "cloudless_") {
			complain("%s: want a name that begins with cloudless_", m.Name)
		}
		if isTotal := strings.HasSuffix(m.Name, "_total"); isTotal != (m.Type == model.Counter) {
			complain("%s: is a %v; counters, and only they, end in _total", m.Name, m.Type)
		}
		if m.Help == "" {
			complain("%s: no help", m.Name)
		}
		first, known := families[m.Name]
		if !known {
			families[m.Name] = m
			continue
		}
		if metrics[i-1].Name != m.Name {
			complain("%s: its series are not one after the other", m.Name)
		}
		if first.Help != m.Help || first.Type != m.Type {
			complain("%s: help or type differs between its series", m.Name)
		}
	}
	if err := encodable(metrics); err != nil {
		complain("no part of a frame: %v", err)
	}
	return found
}

// encodable makes a part of the metrics, and lays a frame out with it.
func encodable(metrics []model.Metric) error {
	part := model.Part{Collector: "self"}
	for _, m := range metrics {
		last := len(part.Families) - 1
		if last < 0 || part.Families[last].Name != m.Name {
			part.Families = append(part.Families, model.Family{Name: m.Name, Help: m.Help, Type: m.Type})
			last++
		}
		part.Families[last].Series = append(part.Families[last].Series, m.Labels)
	}
	encoded, err := frame.AppendPart(nil, part)
	if err != nil {
		return err
	}
	parsed, err := frame.ParsePart(encoded)
	if err != nil {
		return err
	}
	_, err = frame.NewLayout([]model.Part{parsed})
	return err
}

func names(metrics []model.Metric) []string {
	all := make([]string, len(metrics))
	for i, m := range metrics {
		all[i] = nameOf(m)
	}
	return all
}

func nameOf(m model.Metric) string {
	var labels strings.Builder
	for _, label := range m.Labels {
		fmt.Fprintf(&labels, " %s=%q", label.Name, label.Value)
	}
	return m.Name + labels.String()
}
